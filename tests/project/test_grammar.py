"""Answers that follow a grammar: the firmware of a made-up model whose logits are noise, on the host and in QEMU."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.model.grammar.automaton import build as build_automaton
from mcu_sdk.model.grammar.files import tables_of
from mcu_sdk.model.grammar.json_schema import parse_schema
from mcu_sdk.model.grammar.tokens import TokenGrammar
from mcu_sdk.model.sampling import Settings, choose
from mcu_sdk.model.tokenizer import compile_tokenizer
from mcu_sdk.planning.language_model import LanguageModel
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from tests.checkpoints import byte_tokenizer
from tests.project.noise_plan import VOCAB, NoisePlan

Inputs = Callable[..., ProjectInputs]
OnHost = Callable[[Path, bytes], bytes]

LENGTH, END = 96, 0
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "on": {"type": "boolean"},
        "level": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 2},
    },
    "required": ["name", "on", "level"],
}
EOT = b"\x04"

_SEED = "uint32_t x = static_cast<uint32_t>(*id * 7919 + *position * 104729 + 1);"


def noise_plan(tiny: Any) -> NoisePlan:
    """A plan whose logits are noise, of a token and its position."""
    arguments = ("arena<int64_t>(0)", "arena<int64_t>(16)")
    return NoisePlan(tiny, "const int64_t* id, const int64_t* position", _SEED, arguments)


@dataclass(frozen=True)
class Made:
    inputs: ProjectInputs
    grammar: TokenGrammar
    project: Path


@pytest.fixture(scope="module")
def made(tiny_inputs: Inputs, tiny_plan: type, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A project with a tokenizer of 320 tokens and SCHEMA, built for the host."""
    folder = tmp_path_factory.mktemp("grammar")
    text = '{"name":"red", "on": true, "level": 100, "tags":["green"]}'
    compiled = compile_tokenizer(byte_tokenizer(folder / "tokenizer.json", VOCAB, text))
    assert compiled.supported, compiled.reason
    automaton = build_automaton(parse_schema(json.dumps(SCHEMA)))
    grammar = TokenGrammar.of(automaton, compiled.token_bytes, VOCAB, [END])
    inputs = tiny_inputs(
        plan=noise_plan(tiny_plan()),
        language_model=LanguageModel(VOCAB, LENGTH, bos_id=1, eos_ids=(END,)),
        tokenizer=compiled.to_template(),
        grammar=tables_of(grammar),
    )
    project = render_project(inputs, folder / "p")
    build(project, "host")
    return Made(inputs, grammar, project)


def line(seed: int, tokens: int, more: str = "") -> bytes:
    """A request, each a little different."""
    start = 1 + seed * 37 % (VOCAB - 1)
    temperature = (0, 0.7, 1, 100)[seed % 4]
    return f"@run tokens={tokens} temperature={temperature} top_k=0 seed={seed}{more} ids={start},{seed % 256 + 1}\n".encode()


def answers_in(output: bytes) -> list[tuple[str, list[int]]]:
    """Text and ids of each answer."""
    found = []
    for answer in output.split(b"@mcu ready=1\n", 1)[1].split(EOT)[:-1]:
        text, facts = answer.split(b"\n@mcu prompt_tokens=")
        ids = re.search(rb"@mcu ids=([\d,]*)\n", facts)
        assert ids is not None and b"@mcu verdict=ok" in facts
        found.append((text.decode(), [int(i) for i in ids[1].split(b",")]))
    return found


def test_a_thousand_answers_are_valid_json(made: Made, on_host: OnHost) -> None:
    validator: Any = importlib.import_module("jsonschema").Draft202012Validator(SCHEMA)
    budgets = [made.grammar.shortest, made.grammar.shortest + 1, 30, 60, 10**6]
    lines = [
        line(seed, budgets[seed % 5], " top_p=0.9" if seed % 3 else " min_p=0.01") for seed in range(1000)
    ]
    answers = answers_in(on_host(made.project / "build/host/firmware", b"".join(lines) + EOT))
    assert len(answers) == 1000
    for seed, (text, ids) in enumerate(answers):
        validator.validate(json.loads(text))
        assert len(ids) <= min(budgets[seed % 5], LENGTH - 1)
    assert len({text for text, _ in answers}) > 500


def test_tokens_are_those_of_the_specification(made: Made, on_host: OnHost) -> None:
    model = HostModel.of(made.project)
    lines = [line(seed, 40, " repetition_penalty=1.2") for seed in range(4, 8)]
    answers = answers_in(on_host(made.project / "build/host/firmware", b"".join(lines) + EOT))
    for seed, (text, ids) in enumerate(answers, 4):
        how = Settings((0, 0.7, 1, 100)[seed % 4], repetition_penalty=1.2)
        read, state, random = [1 + seed * 37 % (VOCAB - 1), seed % 256 + 1], 0, seed
        model.reset()
        model.step(read[0])
        for left in range(40, 0, -1):
            logits = made.grammar.bar(model.step(read[-1]), state, left)
            token, random = choose(logits, how, read, random)
            read.append(token)
            state = made.grammar.after(state, token)
            if token == END:
                break
        assert read[2:] == ids
        assert b"".join(made.grammar.token_bytes[i] for i in ids if i != END).decode() == text


def test_too_few_tokens_for_any_answer_are_refused_at_once(made: Made, on_host: OnHost) -> None:
    few = made.grammar.shortest - 1
    prompt = ",".join(["7"] * (LENGTH - few + 1))
    lines = line(1, few) + f"@run tokens=90 ids={prompt}\n".encode() + line(1, 0)
    output = on_host(made.project / "build/host/firmware", lines + EOT).split(b"@mcu ready=1\n")[1]
    refused = (
        b"@mcu shortest=%d\n@mcu verdict=error reason=grammar_needs_tokens\n\x04" % made.grammar.shortest
    )
    assert output.startswith(refused * 2) and output.count(b"verdict=ok") == 1


def test_a_run_of_a_given_length_follows_no_grammar(made: Made, on_host: OnHost) -> None:
    output = on_host(made.project / "build/host/firmware", line(2, 8, " past_end=1") + EOT)
    ids = re.search(rb"@mcu ids=([\d,]*)\n", output)
    assert ids is not None and b"@mcu tokens=8\n" in output
    assert made.grammar.after(0, int(ids[1].split(b",")[0])) == -1


def test_without_an_end_token_the_answer_ends_where_it_is_complete(
    made: Made, tmp_path: Path, on_host: OnHost
) -> None:
    language_model = LanguageModel(VOCAB, LENGTH, bos_id=1, eos_ids=())
    project = render_project(replace(made.inputs, language_model=language_model), tmp_path / "p")
    answers = answers_in(on_host(build(project, "host").program, line(1, 90) + line(2, 90) + EOT))
    assert all(json.loads(text)["level"] is not None and END not in ids for text, ids in answers)


def test_a_program_that_chooses_tokens_itself_is_told_so(made: Made, tmp_path: Path, on_host: OnHost) -> None:
    project = render_project(made.inputs, tmp_path / "p")
    main = project / "app/main.cpp"
    main.write_text(main.read_text().replace("conversation_next(kDefaults, &prompt, &chooser)", "conversation_next(kDefaults, &prompt)"))  # fmt: skip
    output = on_host(build(project, "host").program, line(1, 50) + EOT)
    assert output.endswith(b"@mcu verdict=error reason=app_chooses_tokens\n\x04")


@pytest.mark.slow
def test_the_device_answers_as_the_host_does(
    made: Made, on_host: OnHost, on_qemu: Callable[..., tuple[int, bytes]]
) -> None:
    lines = b"".join(line(seed, 60, " top_p=0.9") for seed in range(12)) + EOT
    code, device = on_qemu(build(made.project).program, lines)
    assert code == 0
    assert answers_in(device) == answers_in(on_host(made.project / "build/host/firmware", lines))


@pytest.mark.slow
def test_a_library_answers_as_the_firmware_does(made: Made, tmp_path: Path, on_host: OnHost) -> None:
    project = render_project(replace(made.inputs, format="library"), tmp_path / "p")
    lines = b"".join(line(seed, 60) for seed in range(8)) + EOT
    expected = answers_in(on_host(made.project / "build/host/firmware", lines))
    assert answers_in(on_host(build(project, "host").program, lines)) == expected
    assert "int32_t mcu_tiny_grammar_bar(" in (project / "include/mcu_tiny.h").read_text()
