"""Conversations: the firmware of a made-up model whose logits are noise, against the specification, on host and devices."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mcu_sdk
from mcu_sdk.board.board import load_board
from mcu_sdk.errors import UsageError
from mcu_sdk.model.sampling import Settings, choose
from mcu_sdk.project.chat import NEW, Turns, converse
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.prompts import Answer
from mcu_sdk.project.render import render_project
from mcu_sdk.project.runners import Device, built_device
from mcu_sdk.project.stored_chat import StoredCache, stored_cache
from mcu_sdk.project.verify_chat import compare_library, whole_conversation
from mcu_sdk.project.verify_device import fed_tokens
from mcu_sdk.targets.protocol import Request, Transcript
from mcu_sdk.targets.verdict import InputsLostError
from tests.model.chat.templates import SPECIALS
from tests.project.conftest import make_talker
from tests.project.talker import LENGTH, Talker

OnHost = Callable[[Path, bytes], bytes]
EOT = b"\x04"


def specified(
    talker: Talker,
    texts: list[str],
    tokens: int,
    seed: int,
    *,
    system: str | None = None,
    penalty: float = 1.0,
    slides: bool = False,
) -> Iterator[tuple[list[int], list[int]]]:
    """What is read before each answer and what is answered, by the Python specification."""
    model = HostModel.of(talker.project)
    model.reset()
    said: list[int] = []
    read = 0
    for number, text in enumerate(texts):
        if slides and len(said) > LENGTH:
            read -= len(said) - LENGTH
            said = said[-LENGTH:]
        if len(said) > read and said[-1] in (0, talker.chat.end):
            said.pop()
        turn = talker.chat.turn(talker.encode, text, first=number == 0, system=None if number else system)
        said += turn
        prompt, random = said[read:], seed
        answer: list[int] = []
        logits = None
        for token in prompt:
            logits = model.step(token)
        read = len(said)
        for _ in range(tokens):
            token, random = choose(logits, Settings(1.0, repetition_penalty=penalty), said, random)
            said.append(token)
            answer.append(token)
            if token in (0, talker.chat.end) or (read == LENGTH and not slides) or len(answer) == tokens:
                break
            logits = model.step(token)
            read += 1
        yield prompt, answer


def ask(talker: Talker, texts: list[str], tokens: int = 6, **options: Any) -> tuple[Answer, ...]:
    options = {"temperature": 1, "seed": 2, "simulator": "host", **options}
    return mcu_sdk.chat(talker.project, texts, tokens=tokens, **options).answers


TEXTS = ["how far is the lamp?", "  and\nback <|im_end|>", "caf\u00e9", "the end"]


SYSTEM = "You are a lamp <|im_start|>.\n"


@pytest.mark.parametrize("system", [None, pytest.param(SYSTEM, marks=pytest.mark.slow)])
def test_a_conversation_is_that_of_the_specification(talker: Talker, system: str | None) -> None:
    """Host firmware: what is read and answered in each turn; a digest over the whole conversation."""
    wanted = list(specified(talker, TEXTS, 6, 2, system=system, penalty=1.3))
    found = ask(talker, TEXTS, system=system, repetition_penalty=1.3)
    assert [(list(a.transcript.prompt_ids), list(a.transcript.ids)) for a in found] == wanted
    last = found[-1].transcript
    assert last.number("position") == LENGTH - (last.number("left") or 0)
    typed = ask(talker, iter(TEXTS), system=system, repetition_penalty=1.3)  # type: ignore[arg-type]
    assert [a.transcript.facts["digest"] for a in typed] == [a.transcript.facts["digest"] for a in found]


@pytest.mark.slow
def test_a_conversation_goes_on_where_the_cache_slides(tmp_path: Path) -> None:
    """Turns beyond the cache and beyond the room for ids, of which the last count for the penalty; a turn too long for the
    cache is refused, and the next one goes on."""
    talker, texts = make_talker(tmp_path, sinks=2), TEXTS * 5
    wanted = list(specified(talker, texts, 40, 2, penalty=1.3, slides=True))
    found = ask(talker, [*texts[:3], "a " * 170, *texts[3:]], tokens=40, repetition_penalty=1.3)
    assert isinstance(found[3].error, UsageError) and f"left={LENGTH}" in str(found[3].error)
    answered = [a.transcript for a in (*found[:3], *found[4:])]
    assert [(list(t.prompt_ids), list(t.ids)) for t in answered] == wanted
    assert (answered[-1].number("position") or 0) > 2 * LENGTH
    assert {t.number("left") for t in answered} == {LENGTH}
    typed = ask(talker, iter(texts), tokens=40, repetition_penalty=1.3)  # type: ignore[arg-type]
    assert typed[-1].transcript.facts["digest"] == answered[-1].facts["digest"]
    model = HostModel.of(talker.project)
    assert compare_library(model, answered).ok


@pytest.mark.slow
def test_special_tokens_in_a_text_are_text(talker: Talker) -> None:
    (found,) = ask(talker, ["".join(SPECIALS)], tokens=1)
    specials = {talker.tokenizer.token_to_id(token) for token in SPECIALS}
    gaps = {*talker.chat.opening.ids, *talker.chat.before_answer.ids}
    assert [i for i in found.transcript.prompt_ids if i in specials - gaps] == []
    assert talker.tokenizer.decode(found.transcript.prompt_ids, skip_special_tokens=False).count("<s>") == 1


@pytest.mark.slow
def test_a_turn_that_has_no_room_is_refused_and_ends_nothing(talker: Talker) -> None:
    long = "lamp " * 130
    found = ask(talker, ["how far", long, "the end", NEW, "how far"], tokens=3)
    assert isinstance(found[1].error, UsageError) and "left=" in str(found[1].error)
    left = int(str(found[1].error).split("left=")[1].split(")")[0])
    assert left == found[0].transcript.number("left")
    assert (
        found[2].error is None and found[3].transcript.facts["digest"] == found[0].transcript.facts["digest"]
    )
    wanted = list(specified(talker, ["how far", "the end"], 3, 2))
    assert list(found[2].transcript.prompt_ids) == wanted[1][0]


def test_what_does_not_go_on_is_said(talker: Talker, on_host: OnHost) -> None:
    lines = (
        b"@run chat=1 text=61\n@run chat=0 text=6162 tokens=2\n@run chat=1 at=3 text=61\n@run at=3 text=61\n"
    )
    lines += b"@run chat=1 system=61 text=61\n@run chat=1 ids=1 text=61\n@run chat=2 text=61\n@run chat=0 ids=1\n@new\n"
    lines += b"typed\ntyped too\n@run ids=1 tokens=1\ntyped\n"
    said = on_host(talker.project / "build/host/firmware", lines + EOT).split(b"@mcu ready=1\n")[1].split(EOT)
    reasons = [
        b"out_of_order",
        None,
        b"out_of_order",
        b"not_in_a_chat",
        b"system_in_a_chat",
        b"text_and_ids",
        b"bad_number",
    ]
    for reason, answer in zip(reasons, said, strict=False):
        assert b"verdict=ok" in answer if reason is None else answer.endswith(b"reason=" + reason + b"\n"), (
            answer
        )
    assert b"position=0" in said[0] and b"empty_prompt" in said[7] and b"verdict=ok" in said[8]
    first, second, plain, again = said[9:13]
    assert b"position=" in first and b"position=" not in plain
    assert (
        again.split(b"@mcu prompt_ids=")[1].split(b"\n")[0]
        == first.split(b"@mcu prompt_ids=")[1].split(b"\n")[0]
    )
    assert (
        second.split(b"@mcu prompt_ids=")[1].split(b"\n")[0]
        != first.split(b"@mcu prompt_ids=")[1].split(b"\n")[0]
    )


@pytest.mark.slow
def test_a_conversation_that_was_lost_is_told_again(talker: Talker, on_host: OnHost) -> None:
    """A board that was reset answers the next turn as if nothing had been."""
    one, two, _ = list(specified(talker, TEXTS[:3], 6, 2))
    (_, _, third) = ask(talker, TEXTS[:3])
    history = tuple(token for prompt, answer in (one, two) for token in prompt + answer)
    kept = third.transcript
    if len(one[1]) == 6 and one[1][-1] not in (0, talker.chat.end):
        history = tuple(one[0] + one[1] + two[0][1:] + two[1])  # the last token was read with the next turn
    request = Request(text=TEXTS[2], tokens=6, temperature=1, seed=2, chat=0, history=history)
    said = on_host(talker.project / "build/host/firmware", request.encode() + EOT)
    assert f"@mcu ids={','.join(map(str, kept.ids))}\n".encode() in said
    assert f"@mcu digest={kept.digest}\n".encode() in said


@pytest.mark.slow
@pytest.mark.parametrize("board", ["corstone-300", "mps2-an386"])
def test_devices_hold_the_host_s_conversation(
    talker: Talker, tmp_path: Path, board: str, tiny_inputs: Callable[..., ProjectInputs]
) -> None:
    """M55 and M4: every token, and a digest over all steps; each turn is what the template makes of it."""
    inputs = replace(talker.inputs, board=load_board(board))
    if board != "corstone-300":
        inputs = replace(tiny_inputs(load_board(board)), **{name: getattr(inputs, name) for name in ("plan", "language_model", "tokenizer", "chat", "files")})  # fmt: skip
    project = render_project(inputs, tmp_path / "p")
    found = mcu_sdk.verify_chat(project, TEXTS, tokens=6, system=SYSTEM, with_python=False)
    assert [one.verdict.ok for one in found] == [True] * 4
    assert [check.name for check in found[0].verdict.checks] == [
        "device = host, bit for bit",
        "turn = the chat template's",
    ]
    hosts = ask(talker, TEXTS, temperature=0, seed=0, system=SYSTEM)
    assert [one.verdict.device.digest for one in found] == [a.transcript.digest for a in hosts]
    typed = mcu_sdk.chat(project, iter(TEXTS), tokens=6, system=SYSTEM).answers
    assert typed[-1].transcript.digest == hosts[-1].transcript.digest


@pytest.mark.parametrize("seed", range(3))
def test_what_is_stored_of_a_cache_is_all_that_is_not_zero(seed: int) -> None:
    draw = random.Random(seed)
    parts = [
        bytes(draw.randint(0, 40)) if draw.random() < 0.5 else draw.randbytes(draw.randint(1, 9))
        for _ in range(40)
    ]
    cache = b"".join(parts)
    stored = StoredCache.of(cache, 7)
    again = bytearray(len(cache))
    for begin, data in stored.segments:
        again[begin : begin + len(data)] = data
    assert bytes(again) == cache and stored.bytes <= len(cache) + 8 * len(stored.segments)
    assert StoredCache.of(bytes(100), 0).segments == ()


@pytest.mark.slow
def test_a_stored_cache_gives_the_same_tokens(talker: Talker, tmp_path: Path) -> None:
    """The model does not compute what is stored; a conversation with another system text begins anew."""
    opening = talker.chat.opening.ids
    stored = stored_cache(talker.inputs, opening)
    assert stored.tokens == len(opening) and stored.bytes == 8 + 4 * len(opening)
    inputs = replace(talker.inputs, chat=talker.chat.to_template(stored.to_template()))
    project = render_project(inputs, tmp_path / "p")
    plain = ask(talker, TEXTS, temperature=0, seed=0)
    texts = [*TEXTS, NEW, *TEXTS[:2]]
    found = mcu_sdk.chat(project, texts, tokens=6, simulator="host").answers
    for answer, before in zip(found, [*plain, *plain[:2]], strict=True):
        for fact in ("prompt_ids", "ids", "position", "left"):
            assert answer.transcript.facts[fact] == before.transcript.facts[fact], fact
    assert [answer.transcript.number("stored") for answer in found[:2]] == [len(opening), None]
    other = mcu_sdk.chat(project, TEXTS, tokens=6, system=SYSTEM, simulator="host").answers
    wanted = ask(talker, TEXTS, temperature=0, seed=0, system=SYSTEM)
    assert [a.transcript.digest for a in other] == [a.transcript.digest for a in wanted]
    verdicts = mcu_sdk.verify_chat(project, TEXTS, tokens=6, with_python=False)
    assert [one.verdict.ok for one in verdicts] == [True] * 4
    history = replace(Request(text="the end", tokens=4), chat=0, history=plain[0].transcript.prompt_ids)
    transcripts = [
        built_device(open_project(each), simulator="host").device(history)
        for each in (project, talker.project)
    ]
    assert transcripts[0].digest == transcripts[1].digest


def test_a_library_reads_turns_as_the_program_does(talker: Talker) -> None:
    answers = [answer.transcript for answer in ask(talker, TEXTS)]
    check = compare_library(HostModel.of(talker.project), answers)
    assert check.ok, check
    damaged = replace(answers[-1], facts={**answers[-1].facts, "digest": "0" * 16})
    assert not compare_library(HostModel.of(talker.project), [*answers[:-1], damaged]).ok
    whole = whole_conversation(answers)
    assert len(fed_tokens(whole)) == answers[-1].number("position")


def test_a_board_that_lost_a_conversation_is_told_it() -> None:
    turns = Turns(lambda text: Request(text=text), system="s")
    assert turns.request("a") == Request(text="a", chat=0, system="s")
    assert not turns.lost(InputsLostError("reset"))
    turns.take(Transcript("", {"prompt_ids": "1,2", "ids": "3,4", "position": "3"}))
    assert turns.request("b") == Request(text="b", chat=1, at=3)
    assert turns.request("b", checked=False) == Request(text="b", chat=1)
    assert not turns.lost(UsageError("full")) and turns.lost(InputsLostError("reset"))
    assert turns.request("b") == Request(text="b", chat=0, history=(1, 2, 3, 4))
    assert not turns.lost(InputsLostError("reset again"))
    turns.take(Transcript("", {"prompt_ids": "1,2,3,4,5", "ids": "6", "position": "5"}))
    assert turns.request("c") == Request(text="c", chat=1, at=5)
    turns.forget()
    assert turns.request("d") == Request(text="d", chat=0, system="s")


def test_a_lost_conversation_goes_on_in_the_same_run() -> None:
    """The device refuses the second turn as a board does that was reset."""
    asked: list[Request] = []

    def each(messages: Iterable[Any]) -> Generator[Transcript, None, None]:
        for message in messages:
            asked.append(message)
            lost = len(asked) == 2
            refused = {"verdict": "error", "reason": "out_of_order", "position": "0"}
            facts = {"verdict": "ok", "prompt_ids": str(len(asked)), "ids": "9", "position": str(len(asked))}
            yield Transcript("", refused if lost else facts)

    turns = Turns(lambda text: Request(text=text))
    found = list(converse(Device("the board", each, stays=True), ["a", "b", "c"], turns))
    assert [(answer.prompt, answer.error) for answer in found] == [("a", None), ("b", None), ("c", None)]
    assert [(request.text, request.chat, request.at, request.history) for request in asked] == [
        ("a", 0, None, ()), ("b", 1, 1, ()), ("b", 0, None, (1, 9)), ("c", 1, 3, ()),
    ]  # fmt: skip
