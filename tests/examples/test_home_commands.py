"""examples/home_commands: its grammar holds out what it says, and what is written by hand can be read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.project.labels import Labels
from mcu_sdk.project.rows import read_examples
from mcu_sdk.project.token_labels import parse_answer, span_names
from tests.examples.home_commands import HANDWRITTEN, load


@cache
def grammar() -> Any:
    return load("grammar").Grammar()


def labels() -> Labels:
    """Those that a model of these sentences has."""
    return Labels("logits", grammar().labels, "softmax")


def values(sentence: Any) -> Iterator[tuple[str, str]]:
    for slot in sentence.slots:
        yield slot.name, sentence.text[slot.begin : slot.end].lower()


def test_no_template_is_in_training_and_held_out() -> None:
    """Neither as lines of the grammar nor as what they make."""
    both = grammar().lines
    for intent in grammar().intents:
        trained, held_out = ({line.text for line in both[side][intent]} for side in (False, True))
        assert held_out and not trained & held_out
        assert len(held_out) >= 0.15 * len(trained | held_out)
    trained = {each.template for each in grammar().sentences(4000, 5)}
    held_out = {each.template for each in grammar().sentences(400, 5, held_out=True)}
    assert len(held_out) > 100 and not trained & held_out
    assert all(grammar().is_trained(template) for template in list(trained)[:300])


def test_no_value_is_in_training_and_held_out() -> None:
    """But for the few words beside numbers, such as "half"; made-up and misspelt ones included."""
    always = {
        (grammar().slot_of(name), value)
        for name in grammar().values[True]
        for value in grammar().always(name)
    }
    trained = {value for each in grammar().sentences(4000, 6) for value in values(each)}
    strictly = list(grammar().sentences(400, 6, held_out=True, all_values=True))
    held_out = {value for each in strictly for value in values(each)}
    assert len(held_out - always) > 150 and not (held_out - always) & trained
    sides = [
        {
            (grammar().slot_of(name), value)
            for name, found in grammar().values[side].items()
            for value in found
        }
        for side in (False, True)
    ]
    assert not sides[0] & sides[1] and 0.2 < len(sides[1]) / len(sides[0] | sides[1]) < 0.3


def test_a_held_out_sentence_has_a_value_that_training_has_not() -> None:
    """At least one; others may be known."""
    counts = [
        (grammar().held_out_values(each), len(each.slots))
        for each in grammar().sentences(400, 8, held_out=True)
    ]
    assert min(found for found, _ in counts) == 1
    assert any(1 < found < slots for found, slots in counts) and any(
        found == slots for found, slots in counts
    )
    assert not any(grammar().held_out_values(each) for each in grammar().sentences(400, 8))


def test_a_word_that_is_not_the_training_s_is_unknown() -> None:
    """And is not cut after a word of its own."""
    tokenizer = load("tokenizer").make_tokenizer(grammar())
    assert "quorvin" not in grammar().words and "the" in grammar().words
    tokens = tokenizer.encode("The thequorvin to 21.5° at 7am").tokens
    assert tokens == ["[CLS]", "the", "[UNK]", "to", "2", "##1", ".", "5", "##°", "at", "7", "##am", "[SEP]"]


def test_what_a_held_out_template_says_is_said_elsewhere() -> None:
    """Each of its words, rules and slots, in a line of the same intent that trains."""
    for intent in grammar().intents:
        sides = [
            {word for line in grammar().lines[side][intent] for word in load("grammar")._words(line)}
            for side in (False, True)
        ]
        assert sides[1] <= sides[0]


@pytest.mark.parametrize("held_out", [False, True])
def test_a_seed_gives_the_same_sentences(held_out: bool, tmp_path: Path) -> None:
    digests = []
    for run, (made, seed) in enumerate(((load("grammar").Grammar(), 1), (grammar(), 1), (grammar(), 2))):
        sentences = made.sentences(60, seed, held_out=held_out)
        load("grammar").write_table(tmp_path / f"{run}.csv", sentences)
        digests.append(hashlib.sha256((tmp_path / f"{run}.csv").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]
    assert digests[0][:16] == {False: "fc4c097fee124076", True: "37cff97951879aa7"}[held_out]


def test_slots_lie_where_their_values_are() -> None:
    """In text that is misspelt and has full stops, too; and the table says the same."""
    for sentence in grammar().sentences(300, 7):
        answer = parse_answer(sentence.label, labels(), sentence.text)
        assert answer.of_text == sentence.intent
        assert [name for name, _ in answer.spans] == [slot.name for slot in sentence.slots]
        assert all(text == text.strip(" .!?") for _, text in answer.spans)
    assert set(span_names(labels())) == set(grammar().slots)


def test_the_sentences_written_by_hand() -> None:
    examples = read_examples(HANDWRITTEN, labels=True)
    answers = [parse_answer(each.label, labels(), each.text) for each in examples]
    assert len({each.text.lower() for each in examples}) == len(examples) == 200
    counts = Counter(answer.of_text for answer in answers)
    assert set(counts) == set(grammar().intents) and min(counts.values()) >= 9
    assert {name for answer in answers for name, _ in answer.spans} == set(grammar().slots)
