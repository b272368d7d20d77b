"""`generate --etrecord` and `run --profile --etdump`: ExecuTorch's Inspector shows our graph with our instructions."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk import cli
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.plan import Plan
from mcu_sdk.project.etdump import etdump_of
from tests.checkpoints import make_encoder

Checkpoint = Callable[[str], Path]


def inspected(etdump: Path, etrecord: Path) -> Any:
    """The Inspector of a run, in instructions."""
    from executorch.devtools import Inspector
    from executorch.devtools.inspector import TimeScale

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there are no tensors in the dump
        return Inspector(
            etdump_path=str(etdump),
            etrecord=str(etrecord),
            source_time_scale=TimeScale.CYCLES,
            target_time_scale=TimeScale.CYCLES,
        )


def is_of(event: Any, module: str) -> bool:
    """Whether an event belongs to a module, by its path without what wraps the model."""
    stacks = [stack for stack in event.module_hierarchy.values() if stack]
    paths = {path for stack in stacks for path, _ in stack.values()}
    return any(f".{path}".endswith(f".{module}") for path in paths)


def check(plan: Plan, counts: list[int], inspector: Any, part: str) -> None:
    """An event for each instruction, in order, with its operator, its instructions and its module. `part`: of a module's name,
    whose instructions the Inspector sums up."""
    (block,) = inspector.event_blocks
    step, *calls = block.events
    assert step.name == "Method::execute" and step.perf_data.raw == [sum(counts)]
    wanted: dict[int, int] = {}
    for planned, count in zip(plan.calls, counts, strict=True):
        wanted[planned.instruction.index] = wanted.get(planned.instruction.index, 0) + count
    operators = {planned.instruction.index: planned.instruction for planned in plan.calls}
    assert [event._instruction_id for event in calls] == sorted(wanted)
    for event in calls:
        made = operators[event._instruction_id]
        assert event.name == f"native_call_{made.full_name.partition('::')[2]}"
        assert event.perf_data.raw == [wanted[made.index]]
        assert event.debug_handles and event.op_types
        assert made.name.startswith("#") or is_of(event, made.name), made
    named = [count for planned, count in zip(plan.calls, counts, strict=True) if part in planned.name]
    assert inspector.find_total_for_module(part) == sum(named) > 0


@pytest.mark.slow
def test_a_decoder(checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With a prefill beside it: the record is of the step, as a profile is."""
    options = CompileOptions(40, prefill=8, etrecord=True)
    folder = str(checkpoint("llama-gqa-untied"))
    generated = generate(GenerateRequest("corstone-300", options, model=folder, output=tmp_path / "p"))
    dump = tmp_path / "profile.etdp"
    given = ["run", str(generated.project), "--ids=1,2,3", "--tokens=1", "--profile", "--json"]
    assert cli.run([*given, f"--etdump={dump}"]) == 0
    rows = json.loads(capfd.readouterr().out)["calls"]
    counts = [row["instructions"] for row in rows]
    found = inspected(dump, generated.project / "model" / "model.etrecord")
    check(generated.plan, counts, found, "self_attn")


@pytest.mark.slow
def test_an_encoder_and_the_same_bytes_again(tmp_path: Path) -> None:
    folder = str(make_encoder("bert", tmp_path / "checkpoint"))
    written = []
    for use_cache in (True, True, False):
        output = tmp_path / f"p{len(written)}"
        options = CompileOptions(8, etrecord=True)
        request = GenerateRequest("host", options, model=folder, output=output, use_cache=use_cache)
        plan = generate(request).plan
        written.append((output / "model" / "model.etrecord").read_bytes())
    assert written[0] == written[1] == written[2]
    counts = [100 + number for number in range(len(plan.calls))]
    dump = tmp_path / "profile.etdp"
    dump.write_bytes(etdump_of(plan, counts))
    check(plan, counts, inspected(dump, output / "model" / "model.etrecord"), "attention")


def test_what_does_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["run", str(tmp_path), f"--etdump={tmp_path / 'x'}"], "Add --profile"),
        (
            ["generate", "--target=ethos-u55-128", "--etrecord"],
            "--etrecord is for a processor",
        ),
    ):
        assert cli.run(arguments) == 2
        assert words in capsys.readouterr().err
