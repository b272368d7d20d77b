"""The table of options: each makes a difference or is refused, for every kind of model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

import mcu_sdk.recipes.checkpoint
from mcu_sdk import cli
from mcu_sdk.errors import UsageError
from mcu_sdk.generation import flash, project, source
from mcu_sdk.option import Option, options_of
from mcu_sdk.options import (
    ANY,
    CHECKPOINT,
    PTE,
    CompileOptions,
    GenerateRequest,
    Kind,
    choices_of,
)
from tests.checkpoints import small_tokenizer
from tests.pairs import make_pair

FIXTURES = Path(__file__).parent / "fixtures" / "executorch-1.4.1"
OPTIONS = {**options_of(GenerateRequest), **options_of(CompileOptions)}
Capture = pytest.CaptureFixture[str]


def commands(kind: Kind, checkpoint: Callable[[str], Path]) -> list[str]:
    """A command line that generates for a kind."""
    model = f"--model={checkpoint('llama-odd')}"
    if kind is Kind.ENCODER_DECODER:
        return [f"--model={make_pair('t5', checkpoint('llama-odd').parent)}"]
    return {
        Kind.DECODER: [model],
        Kind.DECODER_NPU: [model, "--target=ethos-u55-128"],
        Kind.PTE_TOKENS: [f"--pte={FIXTURES / 'decoder-rows.pte'}"],
        Kind.PTE_TENSORS: [f"--pte={FIXTURES / 'stock-mlp.pte'}"],
    }[kind]


def value_of(option: Option, folder: Path) -> str:
    """A value of the option's type; where it has one, the default, which is refused as well."""
    literals = [kind for kind in (option.type, *get_args(option.type)) if get_origin(kind) is Literal]
    if literals:
        return str(option.default if option.default is not None else get_args(literals[0])[0])
    kinds = get_args(option.type) or (option.type,)
    if option.type is bool:
        return "True"
    if option.name == "stop":
        return "('x',)"
    if option.name == "output":
        return str(folder / "another")
    if option.name == "json_schema":
        (folder / "schema").write_text('{"type": "null"}')
        return str(folder / "schema")
    if option.name == "tokenizer":
        return str(small_tokenizer(folder / "tokenizer.json"))
    if option.name == "pte_partition":
        return str(1 << 20)
    if int in kinds:
        return "8"
    if Path in kinds:
        (folder / "file").write_text("{}")
        return str(folder / "file")
    return {
        "chat_date": "2026-01-31",
        "board": "corstone-300",
        "frame": "16x16",
        "memory_mode": "Shared_Sram",
        "target": "cortex-m55",
    }.get(option.name, "x")


WITH = {"sinks": ["--when-full", "slide"], "pte_partition": ["--runtime", "executorch"]}
"""What an option has to be given with."""


class _Reached(Exception):
    """The request went through."""


@pytest.mark.parametrize(
    "kind", [kind for kind in Kind if kind not in Kind.ENCODER | Kind.ENCODER_NPU | Kind.PTE_TEXTS]
)
def test_every_option_makes_a_difference_or_is_refused(
    kind: Kind,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    seen: list[GenerateRequest] = []

    def stop(request: GenerateRequest, *more: Any) -> None:
        seen.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(
        mcu_sdk.recipes.checkpoint, "compile_checkpoint", lambda *given, **more: stop(*seen_request)
    )
    for module, checks in (
        (source, ("check_tokenizer", "read_chat_template", "check_stops_are_written")),
        (project, ("check_grammar", "grammar_tables", "chat_of", "stop_texts")),
    ):  # these models have no tokenizer
        for check in checks:
            monkeypatch.setattr(module, check, lambda *given: None)
    if kind & PTE:
        monkeypatch.setattr(flash, "fit_project", lambda *given, **more: stop(*seen_request))
    seen_request: list[GenerateRequest] = []
    real = GenerateRequest.check_kind

    def check_kind(self: GenerateRequest, found: Kind) -> None:
        seen_request[:] = [self]
        real(self, found)

    monkeypatch.setattr(GenerateRequest, "check_kind", check_kind)
    base = commands(kind, checkpoint)
    for option in OPTIONS.values():
        if option.flags[0] in ("--target", "--model", "--pte") or any(
            part.startswith(option.flags[0]) for part in base
        ):
            continue
        value = value_of(option, tmp_path)
        seen.clear()
        given = [option.flags[0], *([] if option.type is bool else ["x" if option.name == "stop" else value])]
        given += ["--weights=auto"] if option.name == "flash" and option.applies_to(kind) else []
        given += WITH.get(option.name, []) if option.applies_to(kind) else []
        code = cli.run(["generate", *base, f"--output={tmp_path / 'p'}", *given])
        err = capsys.readouterr().err
        if option.applies_to(kind):
            assert code == 130, (option.name, err)
            holder = seen[0] if option.name in options_of(GenerateRequest) else seen[0].compile_options
            assert str(getattr(holder, option.name)) == value, option.name
        else:
            assert code in (2, 3) and option.flags[0] in err, (option.name, code, err)
        assert not (tmp_path / "p").exists()


def test_the_manifest_has_every_option_that_applies() -> None:
    request = GenerateRequest("host", CompileOptions(), name="asked")
    for kind in Kind:
        kept = request.to_manifest(kind, "found")
        assert kept.pop("name") == "found"
        wanted = {o.key for o in OPTIONS.values() if o.applies_to(kind) and not o.input} - {"output", "name"}
        assert kept.keys() == wanted
        again = GenerateRequest.from_manifest(kept, {"board": "host"})
        assert again.to_manifest(kind, "found") == request.to_manifest(kind, "found")


def test_every_choice_can_be_read_from_a_manifest_and_no_other_value() -> None:
    for option in OPTIONS.values():
        for choice in choices_of(option):
            again = GenerateRequest.from_manifest({option.key: choice}, {"board": "host"})  # type: ignore[dict-item]
            holder = again if option.name in options_of(GenerateRequest) else again.compile_options
            assert getattr(holder, option.name) == choice
            with pytest.raises(UsageError, match="does not take"):
                GenerateRequest.from_manifest({option.key: "none of them"}, {"board": "host"})


def test_every_option_of_the_compiler_decides_the_caches_key() -> None:
    facts = CompileOptions().key_facts()
    assert facts.keys() == {each.name for each in fields(CompileOptions)}


def test_every_kind_has_a_word() -> None:
    assert {str(kind) for kind in (CHECKPOINT, PTE)} == {"a checkpoint", "a .pte"}
    assert str(ANY) == "a checkpoint or a .pte" and all(str(kind) for kind in Kind)


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (2, ["evaluate", "{text}", "--activation-bits=8"], "--activation-bits is for"),
        (2, ["evaluate", "{text}", "--target=ethos-u55-128", "--kv-scales=dynamic"], "--kv-scales is for"),
        (2, ["evaluate", "{text}", "--all", "--activations=static"], "--all measures every --activations"),
        (3, ["evaluate", "{text}", "--calibration-text=no-such-file"], "no-such-file"),
        (3, ["generate", "--calibration-text=no-such-file"], "no-such-file"),
        (3, ["generate", "--tokenizer=no-such-file"], "no-such-file"),
        (3, ["generate", "--grammar=no-such-file"], "no-such-file"),
        (2, ["generate", "--grammar={text}", "--json-schema={text}"], "exclude each other"),
        (2, ["generate", "--json-schema={text}"], "text: A JSON schema was expected; this is no JSON"),
        (2, ["generate", "--grammar={lookahead}"], "a look at what follows or comes before"),
        (2, ["generate", "--max-cache-len=0"], "positions from 1 up; 0 was given"),
        (2, ["generate", "--grammar={long}", "--max-cache-len=64"], "tokens; the model's cache holds 64"),
    ],
)
def test_what_is_refused_before_anything_is_loaded(
    code: int, arguments: list[str], words: str, tmp_path: Path, capsys: Capture
) -> None:
    texts = {"text": "text", "lookahead": "a(?=b)", "long": "(QXZ){200}"}
    for name, content in texts.items():
        (tmp_path / name).write_text(content)
    given = [part.format(**{name: tmp_path / name for name in texts}) for part in arguments]
    assert cli.run(given) == code
    assert words in capsys.readouterr().err


def test_a_model_of_tensors_over_a_language_model(tmp_path: Path, capsys: Capture) -> None:
    project = tmp_path / "p"
    first, second = (f"--pte={FIXTURES / name}" for name in ("decoder-rows.pte", "stock-mlp.pte"))
    assert cli.run(["generate", first, f"--output={project}"]) == 0
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert cli.run(["generate", second, f"--output={project}"]) == 2
    assert "written for a language model" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_options_need_no_torch() -> None:
    program = (
        "import sys, mcu_sdk\n"
        "from mcu_sdk.options import CompileOptions\n"
        "CompileOptions(weights='int4')\n"
        "print(sorted({'torch', 'transformers', 'executorch', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
