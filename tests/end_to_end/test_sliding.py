"""Generation beyond the cache: this computer, a Cortex-M55 and a Cortex-M4 compute the same bits while the cache slides,
close to what the checkpoint computes for the sinks and the last positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import UsageError
from mcu_sdk.generation import generate
from mcu_sdk.lowering.accuracy import measure
from mcu_sdk.lowering.sliding_guard import sliding_logits
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.decoders import save_small_decoder, small_decoder

CACHE, ROWS = 20, 8
PROMPT = tuple(i * 7 % 40 for i in range(19))
"""Two chunks, and three tokens one by one."""
TOKENS = 4 * CACHE - len(PROMPT) + 1
"""As many as there is room for: more than two laps of each ring."""

CASES = [
    ("cohere", CompileOptions(CACHE, when_full="slide", prefill=ROWS)),  # turns pairs side by side
    ("gemma2", CompileOptions(CACHE, "dynamic", "calibrated", when_full="slide", sinks=3)),  # a window of 5
    ("olmoe", CompileOptions(CACHE, when_full="slide", sinks=0, prefill=16)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_target_computes_the_same_beyond_the_cache(
    name: str, options: CompileOptions, tmp_path: Path
) -> None:
    folder = str(save_small_decoder(name, tmp_path))
    asked = Request(ids=PROMPT, tokens=TOKENS + 9, past_end=True)
    digests, sinks = set(), options.kept_sinks
    assert sinks is not None
    for board in ("corstone-300", "mps2-an386"):
        made = generate(GenerateRequest(board, options, model=folder, output=tmp_path / board))
        assert (made.facts["left_in_float"], made.facts["sinks"]) == ([], sinks)
        assert made.facts["guard"]["sliding"] <= made.facts["guard"]["tolerance"]
        on_host = build(made.project, "host")
        on_computer = host.run(on_host.program, asked)
        on_device = qemu.run(load_board(board), build(made.project, "release").program, asked)
        assert on_computer.ids == on_device.ids and len(on_device.ids) == TOKENS
        digests |= {on_computer.digest, on_device.digest}
    assert len(digests) == 1

    assert on_host.library is not None
    model, fed = HostModel(on_host.library), (*PROMPT, *on_device.ids[:-1])
    steps = model.tokens(fed).copy()
    chunks = on_device.number("chunks") or 0
    model.reset()
    read = model.read_prompt(fed, chunks)
    assert {f"{model.digest(read):016x}"} == digests
    for got, row in zip(read[chunks:], steps[chunks * model.prefill_rows :], strict=True):
        np.testing.assert_array_equal(got, row)

    tokens = torch.tensor([fed[: 3 * CACHE]])
    wanted = sliding_logits(small_decoder(name), tokens, CACHE, sinks)[0]
    found = torch.from_numpy(steps[: 3 * CACHE])
    beyond = measure(found[CACHE:], wanted[CACHE:], logits=True).relative_rms_error
    assert beyond < 0.15  # as tests/end_to_end/test_decoders.py allows within the cache


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (
            lambda: GenerateRequest(compile_options=CompileOptions(sinks=4)),
            "--sinks is for a cache that slides",
        ),
        (
            lambda: GenerateRequest(compile_options=CompileOptions(5, when_full="slide")),
            "keeps 4 first positions and 2 others at least; it has 5",
        ),
        (
            lambda: GenerateRequest(compile_options=CompileOptions(when_full="slide", sinks=-1)),
            "from 0 up, not -1",
        ),
        (
            lambda: GenerateRequest(
                compile_options=CompileOptions(when_full="slide"), target="ethos-u55-128"
            ),
            "--when-full is for a decoder's checkpoint on a processor",
        ),
        (
            lambda: GenerateRequest(compile_options=CompileOptions(when_full="slide"), format="library"),
            "--when-full slide is for a firmware",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    request_of: Callable[[], GenerateRequest], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        generate(request_of())
