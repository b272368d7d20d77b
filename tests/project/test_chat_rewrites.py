"""Conversations whose template makes another text of an answer once the next turn follows: the firmware of a made-up model
whose logits are noise, against the specification."""

from __future__ import annotations

from dataclasses import replace

import pytest

import mcu_sdk
from mcu_sdk.model.sampling import Settings, choose
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.verify_chat import compare_library, whole_conversation
from tests.project.conftest import make_talker
from tests.project.talker import LENGTH, Talker

REWINDS = 50
"""Of so many tokens the last ones can be forgotten: this conversation has turns on both sides of it."""

BYTES = (95, 257)
"""Ids of bytes that are no characters, most of them: answers are to be UTF-8."""

SOURCE = (
    "{% for message in messages %}{% if message.role == 'user' %}{{ '<|im_start|>user\n' + message.content | trim + '<|im_end|>\n' }}"
    "{% elif message.role == 'assistant' %}{{ '<|im_start|>assistant\n' + message.content.split('e')[-1].strip(' \n') + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}{{ '<|im_start|>assistant\nlamp:' }}"
)
"""An answer loses all up to its last "e", which noise has often, and "lamp:" before it."""

TEXTS = ["  how far is the lamp?\n", "\u3000caf\u00e9 ", "the end", "a", " ", "how far?"]


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Talker:
    return make_talker(tmp_path_factory.mktemp("talker"), SOURCE, REWINDS, BYTES)


def specified(
    talker: Talker, texts: list[str], tokens: int, seed: int
) -> list[tuple[list[int], list[int], int]]:
    """What is read before each answer, what is answered, and the position after it, by the Python specification."""
    model, chat, found = HostModel.of(talker.project), talker.chat, []
    model.reset()
    said: list[int] = []
    read = 0
    for number, text in enumerate(texts):
        said += chat.turn(talker.encode, text, first=number == 0)
        prompt, answer, state = said[read:], [], seed
        for token in prompt:
            logits = model.step(token)
        position = len(said)
        for _ in range(tokens):
            token, state = choose(logits, Settings(1.0), [*said, *answer], state)
            answer.append(token)
            if token in (0, chat.end) or position == LENGTH or len(answer) == tokens:
                break
            logits = model.step(token)
            position += 1
        kept = answer[:-1] if answer[-1] in (0, chat.end) else answer
        before, read = [*said, *answer], position
        said = chat.remembered(talker.encode, said, kept, b"".join(map(model.decode, kept)))
        if said != before[: len(said)] or len(said) < position:
            same = next((i for i, (a, b) in enumerate(zip(said, before, strict=False)) if a != b), len(said))
            if same < position:
                read = same if position <= REWINDS else 0
                model.reset() if read == 0 else model.rewind(read)
        found.append((prompt, answer, read))
    return found


def test_a_past_answer_is_what_the_template_makes_of_it(talker: Talker) -> None:
    assert talker.chat.past.cut == "e" and talker.chat.past.dropped > 0 and talker.chat.strip_user.left
    for seed in (2, 3, 5):
        wanted = specified(talker, TEXTS, 9, seed)
        found = mcu_sdk.chat(
            talker.project, TEXTS, tokens=9, temperature=1, seed=seed, simulator="host"
        ).answers
        told = [a.transcript for a in found]
        assert [(list(t.prompt_ids), list(t.ids), t.number("position")) for t in told] == wanted
        assert {t.number("position") == 0 for t in told} == {
            True,
            False,
        }  # some are read again from the beginning
        typed = mcu_sdk.chat(
            talker.project, iter(TEXTS), tokens=9, temperature=1, seed=seed, simulator="host"
        ).answers
        assert [a.transcript.facts for a in typed] == [t.facts for t in told]
        check = compare_library(HostModel.of(talker.project), told)
        assert check.ok, check
        damaged = replace(told[-1], facts={**told[-1].facts, "rewound": "1"})
        assert not compare_library(HostModel.of(talker.project), [*told[:-1], damaged]).ok
        assert whole_conversation(told).prompt_ids


@pytest.mark.slow
def test_verify_follows_what_is_read_again(talker: Talker) -> None:
    """M55: device = host, and each turn, with what is left of the answer before, is the template's."""
    found = mcu_sdk.verify_chat(talker.project, TEXTS, tokens=9, with_python=False)
    assert [check.name for check in found[1].verdict.checks] == [
        "device = host, bit for bit",
        "turn = the chat template's",
    ]
    assert [one.verdict.ok for one in found] == [True] * len(TEXTS)
