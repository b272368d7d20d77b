"""Where a decoder's step runs beside an NPU: what is tried, what is taken, what the project keeps of it, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk import cli, resources
from mcu_sdk.errors import ModelError
from mcu_sdk.generation import kinds, project, source
from mcu_sdk.options import CompileOptions
from mcu_sdk.project.opened import open_project
from mcu_sdk.recipes import checkpoint as recipe
from mcu_sdk.recipes.compiled import CompiledModel
from tests.checkpoints import small_tokenizer
from tests.test_regeneration import FIXTURES, files_of

Capture = pytest.CaptureFixture[str]
USAGE, STOPPED = 2, 130
TARGET = "--target=ethos-u55-128"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[CompileOptions]:
    """What recipes are asked for. They have a .pte for the processor, and none for the NPU."""
    pte = (FIXTURES / "decoder-rows.pte").read_bytes()
    asked: list[CompileOptions] = []

    def compile(checkpoint: Any, options: CompileOptions, **more: Any) -> CompiledModel:
        asked.append(options)
        if options.npu is not None:
            raise ModelError("An NPU takes a model without windows; this one has some.")
        return CompiledModel(pte, ("x",) * 25)

    monkeypatch.setattr(recipe, "compile_checkpoint", compile)
    return asked


@pytest.fixture
def arguments(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[..., list[str]]:
    """A command line for a decoder's checkpoint."""
    tokenizer = small_tokenizer(tmp_path / "tokenizer.json")

    def made(*more: str, board: str | Path = "corstone-300") -> list[str]:
        given = [
            "generate",
            f"--board={board}",
            f"--model={checkpoint('llama-odd')}",
            f"--tokenizer={tokenizer}",
        ]
        return [*given, f"--output={tmp_path / 'p'}", *more]

    return made


def npu_by_default(folder: Path) -> Path:
    """A board whose default target is its NPU."""
    toml = (resources.boards() / "corstone-300" / "board.toml").read_text()
    folder.mkdir()
    (folder / "board.toml").write_text(toml.replace('target = "cortex-m55"', 'target = "ethos-u55-128"', 1))
    return folder


def test_what_is_chosen_stands_in_the_project_and_is_chosen_again(
    arguments: Callable[..., list[str]], compiled: list[CompileOptions], tmp_path: Path, capsys: Capture
) -> None:
    assert cli.run(arguments(TARGET, "--decode=auto")) == 0
    assert [options.npu is None for options in compiled] == [True, False, False]
    assert [options.step for options in compiled[1:]] == ["linears", "npu"]
    out = capsys.readouterr().out
    assert "on the processor alone: nothing else can be" in out and "not tried: An NPU takes" in out
    project = open_project(tmp_path / "p")
    choice = project.decode()
    assert choice is not None and (choice.form, choice.asked, choice.target) == (
        "cpu",
        "auto",
        "ethos-u55-128",
    )
    step = choice.estimates["cpu"]
    assert step is not None and step.waiting > 0 and step.instructions > 0 and step.delegates == 0
    why = "An NPU takes a model without windows; this one has some."
    assert choice.left_out == {"linears": why, "npu": why}
    assert project.accelerator is None and project.manifest.options["decode"] == "auto"
    assert json.loads((tmp_path / "p/model/report.json").read_text())["decode"] == choice.to_json()
    before = files_of(tmp_path / "p")
    assert cli.run(["regenerate", str(tmp_path / "p"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decode"] == choice.to_json()
    assert files_of(tmp_path / "p") == before


def test_what_is_the_same_for_every_form_is_done_once(
    arguments: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pte = (FIXTURES / "decoder-rows.pte").read_bytes()
    monkeypatch.setattr(recipe, "compile_checkpoint", lambda *_, **__: CompiledModel(pte, ("x",) * 25))
    done: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            done.append(name)
            return function(*given)

        return call

    expected = {"check_tokenizer": 1, "read_chat_template": 1, "check_kind_of": 1, "compile_plan": 3}
    for name in expected:
        module = project if name == "check_kind_of" else source
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    assert cli.run(arguments(TARGET, "--decode=auto")) == 0
    assert {name: done.count(name) for name in expected} == expected


def stop_at(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `step_cycles` is asked for, once the processor's step is compiled."""
    seen: list[Any] = []

    def stop(plan: Any, board: Any, npu: Any, position: int) -> None:
        seen.append((npu.accelerator, position))
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "step_cycles", stop)
    return seen


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ((), "npu"),
        (("--decode=npu",), "npu"),
        (("--decode=cpu",), "cpu"),
        (("--decode=linears",), "linears"),
        (("--decode=auto",), "auto"),
    ],
)
def test_a_target_that_is_named_is_taken_unless_decode_says_otherwise(
    given: tuple[str, ...],
    asked: str,
    arguments: Callable[..., list[str]],
    compiled: list[CompileOptions],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = stop_at(monkeypatch)
    code = cli.run(arguments(TARGET, *given))
    on_npu = asked in ("linears", "npu")
    assert [options.npu is not None for options in compiled] == [on_npu]
    assert code == (3 if on_npu else STOPPED) and len(seen) == (not on_npu)


def test_a_board_whose_default_is_an_npu_compares(
    arguments: Callable[..., list[str]],
    compiled: list[CompileOptions],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    seen = stop_at(monkeypatch)
    board = npu_by_default(tmp_path / "board")
    assert cli.run(arguments(board=board)) == STOPPED and seen == [("ethos-u55-128", 8)]
    assert cli.run(arguments("--target=cortex-m55", board=board)) == 0 and len(seen) == 1
    assert "one token" not in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--kv-scales=calibrated", "--when-full=slide"])
def test_an_option_of_the_processor_leaves_the_npu_out(
    option: str, arguments: Callable[..., list[str]], compiled: list[CompileOptions], capsys: Capture
) -> None:
    assert cli.run(arguments(TARGET, "--decode=auto", option, "--json")) == 0
    told = json.loads(capsys.readouterr().out)["decode"]
    reasons = told["left_out"]
    assert told["form"] == "cpu" and reasons["linears"] == reasons["npu"]
    assert reasons["npu"].startswith(f"{option.partition('=')[0]} is for ")
    assert [options.npu for options in compiled] == [None]


def test_few_levels_leave_out_linears_on_the_npu_alone(
    arguments: Callable[..., list[str]], compiled: list[CompileOptions], capsys: Capture
) -> None:
    assert cli.run(arguments(TARGET, "--decode=auto", "--weights=int4", "--json")) == 0
    assert "int8 weights" in json.loads(capsys.readouterr().out)["decode"]["left_out"]["linears"]
    assert {(options.npu is not None, options.step) for options in compiled} == {
        (False, "npu"),
        (True, "npu"),
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--decode=cpu",), ("--decode is for", "on a processor")),
        (("--decode=auto",), ("--decode is for", "on a processor")),
        ((TARGET, "--decode=gpu"), ("gpu",)),
        ((TARGET, "--decode=cpu", "--memory-mode=Sram_Only"), ("--memory-mode", "--decode cpu")),
        ((TARGET, "--decode=cpu", "--activation-bits=8"), ("--activation-bits", "--decode cpu")),
        ((TARGET, "--decode=npu", "--kv-scales=dynamic"), ("--kv-scales is for",)),
        ((TARGET, "--decode=npu", "--format=library"), ("--format library", "ethos-u55-128")),
        ((TARGET, "--decode=linears", "--weights=int4"), ("--decode linears", "int8 weights")),
        ((TARGET, "--decode=linears", "--kv-scales=dynamic"), ("--kv-scales is for",)),
        ((TARGET, "--decode=npu", "--prefill=8"), ("--prefill and --decode npu", "another layout")),
        ((TARGET, "--prefill=8", "--kv-scales=dynamic"), ("--kv-scales is for",)),
    ],
)
def test_what_does_not_go_together(
    given: tuple[str, ...],
    words: tuple[str, ...],
    arguments: Callable[..., list[str]],
    compiled: list[CompileOptions],
    tmp_path: Path,
    capsys: Capture,
) -> None:
    assert cli.run(arguments(*given)) == USAGE
    err = capsys.readouterr().err
    assert all(word in err for word in words), err
    assert compiled == [] and not (tmp_path / "p").exists()


def test_a_computer_is_not_compared_with_an_npu(
    arguments: Callable[..., list[str]], compiled: list[CompileOptions], capsys: Capture
) -> None:
    assert cli.run(arguments(TARGET, "--decode=auto", board="host")) == USAGE
    assert "says nothing of its processor" in capsys.readouterr().err and compiled == []


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("--decode=cpu", "--decode is for"),
        ("--kv-scales=dynamic", "--kv-scales is for"),
        ("--format=library", "ethos-u55-128"),
    ],
)
def test_an_encoder_has_no_token_to_choose_a_place_for(
    given: str,
    word: str,
    arguments: Callable[..., list[str]],
    compiled: list[CompileOptions],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr(kinds, "_is_encoder", lambda checkpoint: True)
    monkeypatch.setattr(source, "check_tokenizer", lambda *given: None)
    line = [
        part
        for part in arguments(given, board=npu_by_default(tmp_path / "board"))
        if not part.startswith("--tokenizer")
    ]
    assert cli.run(line) == USAGE
    assert word in capsys.readouterr().err and compiled == []


@pytest.mark.parametrize(
    ("given", "step"),
    [((), "cpu"), (("--decode=cpu", "--memory-mode=Sram_Only"), "cpu"), (("--decode=linears",), "linears")],
)
def test_prompts_are_read_on_the_npu_wherever_the_step_runs(
    given: tuple[str, ...],
    step: str,
    arguments: Callable[..., list[str]],
    compiled: list[CompileOptions],
) -> None:
    assert cli.run(arguments(TARGET, "--prefill=8", *given)) == 3
    ((npu, of_step, rows),) = [(options.npu, options.step, options.prefill) for options in compiled]
    assert npu is not None and (of_step, rows) == (step, 8)
