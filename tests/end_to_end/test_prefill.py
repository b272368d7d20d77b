"""Prompts that are read in chunks give the bits that their tokens one by one give: on this computer, a Cortex-M55 and a
Cortex-M4, whatever attention and positions a family has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import UsageError
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.program import read_program
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.decoders import MODELS, save_small_decoder

CACHE, ROWS = 40, 8
PROMPT = tuple(i * 7 % 40 for i in range(29))
"""Three chunks, and five tokens one by one."""
TOKENS = 6

CASES = [
    *((name, CompileOptions(CACHE, prefill=ROWS)) for name in MODELS),  # windows of 5 positions among them
    ("opt", CompileOptions(CACHE, "static", "dynamic", prefill=ROWS)),
    ("cohere", CompileOptions(CACHE, "dynamic", "dynamic", prefill=16)),
    ("gptj", CompileOptions(CACHE, weights="int4", prefill=ROWS)),
    ("bloom", CompileOptions(CACHE, "static", "calibrated", prefill=ROWS)),
    ("gemma2", CompileOptions(CACHE, "dynamic", "dynamic", prefill=16)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_target_computes_what_the_steps_compute(
    name: str, options: CompileOptions, tmp_path: Path
) -> None:
    folder = str(save_small_decoder(name, tmp_path))
    asked = Request(ids=PROMPT, tokens=TOKENS, past_end=True)
    for board in ("corstone-300", "mps2-an386"):
        made = generate(GenerateRequest(board, options, model=folder, output=tmp_path / board))
        on_host = build(made.project, "host")
        _check_operators(made.project)
        runs = [
            host.run(on_host.program, asked),
            qemu.run(load_board(board), build(made.project, "release").program, asked),
        ]
        assert on_host.library is not None and options.prefill is not None
        model = HostModel(on_host.library)
        fed = (*PROMPT, *runs[0].ids[:-1])
        steps = model.tokens(fed).copy()  # by the method that knows no chunks
        chunks = len(PROMPT) // options.prefill
        wanted = [steps[(i + 1) * options.prefill - 1] for i in range(chunks)]
        wanted += list(steps[chunks * options.prefill :])
        assert [run.number("chunks") for run in runs] == [chunks, chunks]
        assert [run.digest for run in runs] == [f"{model.digest(wanted):016x}"] * 2
        chosen = tuple(int(row.argmax()) for row in steps[len(PROMPT) - 1 :])
        assert [run.ids for run in runs] == [chosen, chosen]
        model.reset()
        for got, row in zip(model.read_prompt(fed, chunks), wanted, strict=True):
            np.testing.assert_array_equal(got, row)
        _check_turns(model, fed, steps)


MOVES = {"aten::cat", "aten::slice_copy", "aten::view_copy", "executorch_prim::et_view"}
"""Operators that only move rows, which a chunk has more of."""


def _check_operators(project: Path) -> None:
    """What is one operator for a token is the same one for several, and the other way round."""
    plans = read_program((project / "model" / "model.pte").read_bytes()).execution_plan
    forward, prefill = (
        {op.name for op in next(p for p in plans if p.name == name).operators} - MOVES
        for name in ("forward", "prefill")
    )
    assert forward == prefill


def _check_turns(model: HostModel, fed: tuple[int, ...], steps: np.ndarray) -> None:
    """A chat: each turn is read behind those before, from wherever these ended; the cache stays."""
    model.reset()
    for begin, end in ((0, 3), (3, 3 + model.prefill_rows + 1), (4 + model.prefill_rows, len(fed))):
        logits = model.read_prompt(fed[begin:end])
        np.testing.assert_array_equal(logits[-1], steps[end - 1])


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (
            lambda: GenerateRequest(compile_options=CompileOptions(prefill=12)),
            "8, 16 or 32 tokens at once; 12",
        ),
        (
            lambda: GenerateRequest(compile_options=CompileOptions(16, prefill=32)),
            "--prefill 32 reads more tokens at once than the cache's 16 positions",
        ),
        (
            lambda: GenerateRequest(compile_options=CompileOptions(prefill=8), format="library"),
            "--prefill is for a firmware",
        ),
        (
            lambda: GenerateRequest(
                compile_options=CompileOptions(prefill=8, when_full="slide"), target="ethos-u55-128"
            ),
            "--when-full is for a decoder's checkpoint on a processor",
        ),
        (
            lambda: GenerateRequest(
                compile_options=CompileOptions(prefill=8), target="ethos-u55-128", decode="npu"
            ),
            "--prefill and --decode npu do not go together",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    request_of: Callable[[], GenerateRequest], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        generate(request_of())
