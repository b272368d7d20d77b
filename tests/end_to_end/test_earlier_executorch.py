"""Files that an earlier ExecuTorch wrote: they go on reading, and their firmware goes on computing the same bits.

tests/fixtures/executorch-<version>/ holds .pte files as that version left them (never made again), and expected.json:
for each what it was when it was recorded.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.project.made_up import made_up_inputs

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = sorted(FIXTURES.glob("executorch-*/*.pte"))
STEPS = 3
SEED = 7
TOKENS = (1, 5, 7, 2, 79, 11, 3, 3, 40, 9, 64, 0)

QUICK = ("stock-mlp", "decoder-packed", "ethos-u-mlp")
"""Whose firmware every run builds; the rest is behind the marker `slow`."""


def files(*, quick: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """The test for each file; where `quick` names some, the others are slow."""
    return pytest.mark.parametrize(
        "path",
        [
            pytest.param(
                path,
                id=f"{path.parent.name}-{path.stem}",
                marks=[pytest.mark.slow] if quick and path.stem not in quick else [],
            )
            for path in FILES
        ],
    )


def expected(path: Path) -> dict[str, Any]:
    """What was recorded: `operators` with their number, `model_hash`, and the `digest` of what the firmware computed."""
    recorded: dict[str, dict[str, Any]] = json.loads((path.parent / "expected.json").read_text())
    return recorded[path.stem]


def operators(pte: Pte) -> dict[str, int]:
    return dict(Counter(instruction.full_name for instruction in pte.instructions))


def digest(path: Path, folder: Path) -> str:
    """Of the outputs of every step, by the firmware of this computer: of TOKENS in turn, or of made-up inputs."""
    pte = read_pte(path.read_bytes())
    accelerator = pte.delegates[0].accelerator if pte.delegates else None
    board = "corstone-300" if accelerator else "host"
    request = GenerateRequest(
        board, CompileOptions(), pte=path, target=accelerator, output=folder / "project"
    )
    library = build(generate(request).project, "host").library
    assert library is not None
    model = HostModel(library, accelerator)
    if model.is_language_model:
        return f"{model.digest([model.tokens(TOKENS)]):016x}"
    model.reset()
    inputs = made_up_inputs([(memory.dtype.name, memory.size) for memory in model.inputs], SEED, STEPS)
    return f"{model.digest([output for given in inputs for output in model.run(given)]):016x}"


def test_each_file_is_recorded() -> None:
    for folder in FIXTURES.glob("executorch-*"):
        recorded = json.loads((folder / "expected.json").read_text())
        assert set(recorded) == {path.stem for path in folder.glob("*.pte")} != set()


@files()
def test_reads_and_plans(path: Path) -> None:
    pte = read_pte(path.read_bytes())
    assert operators(pte) == expected(path)["operators"]
    plan = compile_plan(pte)
    assert len(plan.calls) == expected(path)["kernel_calls"]
    # PyTorch's operators, as they are now, take the arguments of then.
    interpreter = Interpreter(pte)
    for output in interpreter.run(*interpreter.inputs):
        assert np.isfinite(output.numpy()).all()


@files(quick=QUICK)
def test_computes_the_same_bits(path: Path, tmp_path: Path) -> None:
    assert digest(path, tmp_path) == expected(path)["digest"]
