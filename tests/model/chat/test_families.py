"""The chat templates of families of checkpoints, as token ids between texts: those of apply_chat_template, answers with
thoughts and texts with spaces around them among them."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import Any

import pytest

from mcu_sdk.model.chat import sandbox
from mcu_sdk.model.chat.compile import compile_chat, encode_plain
from mcu_sdk.model.chat.probes import CHARACTERS, markers_of, words_of
from mcu_sdk.model.chat.rendering import Message, Template, Unsuitable
from mcu_sdk.model.chat.turns import Chat, Gap, Past, Strip
from mcu_sdk.model.tokenizer import load_tokenizer
from tests.model.chat.families import DATED, FAMILIES, GLM, HEADERS, LLAMA3_DATE, QWEN3, SMOLLM3
from tests.model.chat.templates import SPECIALS, chat_tokenizer

NAMED = {"bos_token": "<s>", "eos_token": "</s>"}
DAY = datetime.date(2026, 2, 9)
WITHOUT_SYSTEM = ("gemma 2", "mistral, v1", "smollm 3")
TEXTS = ["how far is the lamp?", "  two spaces\n", "\n\na line\r\n", "caf\u00e9 \u6f22\u3000", "\u2028x\x1f", " \t ", "Be a lamp.", "so </think> no"]  # fmt: skip
ANSWERS = [
    "It is far.", " Far away. \n", "<think>\nIs it?\n</think>\n\nIt is.", "<think>\n\n</think>\n\n\n Yes \n", "\nno",
    "<think>not at its end", "</think>", "a</think>b</think>\n\nc", "</think>\n",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("chat") / "tokenizer.json"
    return load_tokenizer(chat_tokenizer(path, 400, (*SPECIALS, *HEADERS)))


def conversations(count: int, *, system: bool) -> list[list[dict[str, str]]]:
    """Of one to four turns, every other with a system text."""
    draw, found = random.Random(11), []
    for number in range(count):
        roles = ["system"] * (number % 2 if system else 0) + (["user", "assistant"] * (1 + number // 2 % 4))[
            :-1
        ]
        texts = [draw.choice(ANSWERS if role == "assistant" else TEXTS) for role in roles]
        found.append([{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)])
    return found


def on_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import chat_template_utils

    monkeypatch.setattr(chat_template_utils, "datetime", sandbox._clock(DAY.toordinal(), 0), raising=False)


def check(chat: Chat, source: str, tokenizer: Any, asked: Sequence[list[dict[str, str]]], begin: Sequence[dict[str, str]] = ()) -> None:  # fmt: skip
    """Answers are given as the ids of their texts, as a model would write them. Where a template leaves them, these are its
    own; where it changes them, what apply_chat_template makes of the text."""
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=source, **NAMED)
    for messages in asked:
        ids = chat.conversation(lambda text: encode_plain(tokenizer, text), [Message(**m) for m in messages])
        text = theirs.apply_chat_template([*begin, *messages], add_generation_prompt=True, tokenize=False)
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        pieces = (
            len(chat.past.before.tail),
            *(len(m["content"]) for m in messages if m["role"] == "assistant"),
        )
        if len(pieces) == 1:
            wanted = theirs.apply_chat_template(
                [*begin, *messages], add_generation_prompt=True, return_dict=False
            )
            assert ids == list(wanted)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "qwen 3" else pytest.mark.slow) for name in FAMILIES]
)
def test_a_family_s_template_is_followed(name: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_day(monkeypatch)
    date = DAY if name in DATED else None
    chat = compile_chat(Template(FAMILIES[name], NAMED, name), tokenizer, date=date)
    assert (chat.before_system is None) == (name in WITHOUT_SYSTEM)
    check(chat, FAMILIES[name], tokenizer, conversations(64, system=name not in WITHOUT_SYSTEM))


def test_what_is_stripped_is_what_python_strips(tokenizer: Any) -> None:
    assert {each for each in CHARACTERS if each.isspace()} == {
        chr(i) for i in range(0x110000) if not chr(i).strip()
    }
    both = Strip(" \n", " \n")
    assert (
        both.of(" \n a b\n ") == "a b"
        and Strip().of(" a ") == " a "
        and Strip("\n", "").of("\n a\n") == " a\n"
    )
    assert markers_of(QWEN3) == ("<think>", "</think>") and markers_of("x.split('\\n')[-1]") == ("\n",)
    assert "/no_think" in words_of(SMOLLM3) and "<tool_response>" in words_of(QWEN3)


def test_what_is_left_of_an_answer() -> None:
    past = Past(Strip("", " "), "</t>", Strip("\n", ""), 1, Gap(tail="-"))
    chat = Chat(Gap(), None, None, Gap(ids=(7, 8)), Gap(), past=past)

    def encode(text: str) -> list[int]:
        return list(text.encode())

    assert chat.remembered(encode, [1, 7, 8], [9], b"a</t>b</t>\n\nc ") == [1, 7, *b"-c "]
    assert chat.remembered(encode, [1, 7, 8], [9], b"c  ") == [1, 7, *b"-c"]
    assert chat.remembered(encode, [1, 7, 8], [9], b"\xff</t>c") == [1, 7, *b"-c"]
    assert chat.remembered(encode, [1, 7, 8], [9], b"a</t>\xe6\xbc") == [
        1,
        7,
        8,
        9,
    ]  # no text: what the model said
    plain = Chat(Gap(), None, None, Gap(), Gap())
    assert not plain.rewrites and plain.remembered(encode, [1], [9], b" x ") == [1, 9] and chat.rewrites


@pytest.mark.slow
def test_a_system_text_that_the_template_changes_is_written_by_it(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SmolLM3's has words in it that decide how answers begin: for `generate --system` the template itself writes it."""
    on_the_day(monkeypatch)
    for system in ("Be a lamp. /no_think ", "Be brief.\n"):
        chat = compile_chat(Template(SMOLLM3, NAMED, "x"), tokenizer, system=system, date=DAY)
        assert chat.before_system is None and chat.system == system
        begin = [{"role": "system", "content": system}]
        check(chat, SMOLLM3, tokenizer, conversations(24, system=False), begin)
    with pytest.raises(Unsuitable, match="takes no special tokens in a system text"):
        compile_chat(Template(SMOLLM3, NAMED, "x"), tokenizer, system="a <s> lamp", date=DAY)


REFUSED = {
    "no date": (LLAMA3_DATE, None, "writes the date, .*--chat-date"),
    "a date too many": (QWEN3, DAY, "writes no date, and --chat-date gives one"),
    "time": (LLAMA3_DATE.replace("%d %b %Y", "%d %b, %H:%M"), DAY, "writes the time of day"),
    "empty": (GLM, None, "does not write the text '</think>' of the role 'assistant' as it is"),
    "first": (QWEN3.replace("split('</think>')[-1]", "split('</think>')[1]"), None, "</think>.* of the role 'assistant'"),
    "special": (QWEN3.replace("</think>", "<|end|>"), None, r"before '<\|end\|>', a special token"),
    "some": (QWEN3.replace("+ content +", "+ (content | trim if loop.first else content) +"), None, "strips some texts of the role 'user'"),
    "another prefix": (QWEN3.replace("<think>\n\n</think>\n\n", "").replace("assistant\n' }}", "assistant\nA' }}").replace("message.role + '\n' + content }}", "message.role + '\nB' + content }}"), None, "before the answer that is to come"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_said(name: str, tokenizer: Any) -> None:
    source, date, words = REFUSED[name]
    with pytest.raises(Unsuitable, match=words):
        compile_chat(Template(source, NAMED, name), tokenizer, date=date)
