"""A token classifier's words, spans and own label of a text; what a dataset says is right; how much of it was found."""

from __future__ import annotations

import numpy as np
import pytest

from mcu_sdk.project.labels import Label, Labels
from mcu_sdk.project.token_labels import (
    Answer,
    Word,
    WrongAnswer,
    answer_of,
    parse_answer,
    read_words,
    span_names,
    span_quality,
    spans_in,
    words_of,
)

NAMES = ("O", "B-room", "I-room", "B-device", "I-device", "text:on", "text:off")
LABELS = Labels("logits", NAMES, "softmax")
TEXT = "living room lamp on."
TEXTS = (TEXT, "")
SPANS = (None, (0, 0, 4), (0, 4, 6), (0, 7, 11), (0, 12, 16), (0, 17, 19), (0, 19, 20), None)
NUMBERS = (None, 0, 0, 1, 2, 3, 4, None)
"""[CLS] livi ##ng room lamp on . [SEP]"""


def logits(*rows: str) -> np.ndarray:
    """Of each token its label with a score of 9, and 0 for the others."""
    scores = np.zeros((1, len(rows), len(NAMES)), np.float32)
    for row, name in enumerate(rows):
        scores[0, row, NAMES.index(name)] = 9
    return scores


RIGHT = logits("text:on", "B-room", "I-room", "I-room", "B-device", "O", "O", "O")


def test_pieces_are_joined_to_words() -> None:
    words = words_of(SPANS, NUMBERS, TEXTS)
    assert [(word.position, TEXT[word.span[1] : word.span[2]]) for word in words] == [
        (1, "living"),
        (3, "room"),
        (4, "lamp"),
        (5, "on"),
        (6, "."),
    ]


def test_a_tokenizer_without_words_divides_at_spaces() -> None:
    """A Unigram may give the whole text one number, with the space before a word in its first piece."""
    words = words_of(((0, 0, 6), (0, 6, 9), (0, 9, 11), (0, 11, 16)), (0, 0, 0, 0), TEXTS)
    assert [TEXT[word.span[1] : word.span[2]] for word in words] == ["living", "room", "lamp"]


def test_words_of_two_texts() -> None:
    """The second one's numbers begin again."""
    texts = ("red", "red lamp")
    words = words_of((None, (0, 0, 3), None, (1, 0, 3), (1, 4, 8), None), (None, 0, None, 0, 1, None), texts)
    assert [word.span for word in words] == [(0, 0, 3), (1, 0, 3), (1, 4, 8)]


def test_a_text_has_a_label_and_each_word() -> None:
    """Scores are shares among the labels that go there: [CLS] is no room, and a word no intent."""
    words = words_of(SPANS, NUMBERS, TEXTS)
    found = read_words(LABELS, RIGHT, words, TEXTS)
    assert [(label.name, label.position, label.text) for label in found] == [
        ("on", None, None),
        ("B-room", 1, "living"),
        ("I-room", 3, "room"),
        ("B-device", 4, "lamp"),
        ("O", 5, "on"),
        ("O", 6, "."),
    ]
    assert found[0].score == pytest.approx(np.exp(9) / (np.exp(9) + 1))
    assert found[1].score == pytest.approx(np.exp(9) / (np.exp(9) + 4))
    odd = RIGHT.copy()
    odd[0, 0, NAMES.index("B-room")] = odd[0, 1, NAMES.index("text:off")] = 99
    assert [label.name for label in read_words(LABELS, odd, words, TEXTS)] == [label.name for label in found]


def test_words_that_belong_together() -> None:
    words = words_of(SPANS, NUMBERS, TEXTS)
    weak = RIGHT.copy()
    weak[0, 3, NAMES.index("I-room")] = 3
    found = read_words(LABELS, weak, words, TEXTS)
    room, device = spans_in(found, words, TEXTS)
    assert (room.name, room.text, room.position) == ("room", "living room", 1)
    assert room.score == found[2].score and room.score < 0.9  # the least of its words'
    assert (device.name, device.text, device.position) == ("device", "lamp", 4)
    assert str(answer_of(found, [room, device])) == "on; room=living room; device=lamp"


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        (["B-x", "B-x", "I-x"], ["x=a", "x=b c"]),
        (["I-x", "I-x", "O"], ["x=a b"]),
        (["B-x", "O", "I-x"], ["x=a", "x=c"]),
        (["B-x", "I-y", "I-x"], ["x=a", "y=b", "x=c"]),
        (["S-x", "S-x", "O"], ["x=a", "x=b"]),
        (["B-x", "I-x", "E-x"], ["x=a b c"]),
        (["U-x", "B-y", "L-y"], ["x=a", "y=b c"]),
        (["NOUN", "NOUN", "VERB"], ["NOUN=a b", "VERB=c"]),
        (["O", "O", "O"], []),
    ],
)
def test_schemes(labels: list[str], spans: list[str]) -> None:
    texts = ("a b c", "")
    words = [Word(i, (0, 2 * i, 2 * i + 1)) for i in range(3)]
    found = [Label(name, 0.9, i, "abc"[i]) for i, name in enumerate(labels)]
    assert [f"{span.name}={span.text}" for span in spans_in(found, words, texts)] == spans


def test_what_is_not_finite_is_in_no_span() -> None:
    words = words_of(SPANS, NUMBERS, TEXTS)
    broken = RIGHT.copy()
    broken[0, 3] = np.nan
    found = read_words(LABELS, broken, words, TEXTS)
    assert found[2].name == "?" and found[2].score is None
    assert [span.text for span in spans_in(found, words, TEXTS)] == ["living", "lamp"]


def test_what_a_dataset_says() -> None:
    answer = parse_answer("on; room=living room; device=lamp", LABELS, TEXT)
    assert answer == Answer("on", (("room", "living room"), ("device", "lamp")))
    assert str(answer) == "on; room=living room; device=lamp"
    assert parse_answer(" off ", LABELS, TEXT) == Answer("off", ())
    plain = Labels("logits", NAMES[:5], "softmax")
    assert parse_answer("", plain, TEXT) == Answer(None, ())
    assert parse_answer("device=lamp;room=living room", plain, TEXT).equals(
        Answer(None, answer.spans)
    )  # in any order
    assert span_names(LABELS) == ["room", "device"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("", "one of the text's labels was expected first, not ''; they are on, off"),
        ("room=living room", "expected first, not 'room=living room'"),
        ("dim; room=living room", "not 'dim'; they are on, off"),
        ("on; color=red", "the model has no label 'color'; its labels are room, device"),
        ("on; B-room=living room", "the model has no label 'B-room'"),
        ("on; room=kitchen", "'kitchen', which is to be 'room', is not in the text 'living room lamp on.'"),
        ("on; room", "a label and what it is of was expected, as room=kitchen, not 'room'"),
        ("on; room=", "not 'room='"),
    ],
)
def test_labels_that_do_not_match(cell: str, words: str) -> None:
    with pytest.raises(WrongAnswer) as error:
        parse_answer(cell, LABELS, TEXT)
    assert words in str(error.value)


def test_how_much_was_found() -> None:
    right = [Answer("on", (("room", "a"), ("device", "b"))), Answer("off", (("device", "c"),))]
    found = [Answer("on", (("device", "b"), ("room", "a"))), Answer("on", (("device", "c"), ("device", "c")))]
    quality = span_quality(right, found)
    assert quality.exact == quality.text_label == 0.5
    assert quality.f1 == pytest.approx(2 * 3 / (3 + 4))
    none = [Answer(None, ())]
    assert span_quality(none, none).f1 == 1 and span_quality(none, none).text_label is None
