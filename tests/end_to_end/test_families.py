"""The whole way, for one random-weight model of each shape and family: host and simulated Cortex-M55 compute the
same bits, and what they compute is the quantized PyTorch graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import Activations, CacheScales, CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.elf import forbidden_symbols
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.recipes import decoder
from mcu_sdk.recipes.decoder import quantized_step
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import FAMILIES

STEPS = 100
PROMPT = (1, 5, 7)
LENGTH = 112
SCALES: tuple[tuple[Activations, CacheScales], ...] = (
    ("dynamic", "calibrated"),
    ("dynamic", "dynamic"),
    ("static", "calibrated"),
    ("static", "dynamic"),
)
"""Of activations, then of the cache."""

QUICK = {("gpt2", "static", "dynamic")}
"""What every run tests; of the rest `make test-all` takes one choice of scales a family, all of them in turn, and `make matrix`
every one."""


def marks(family: int, scales: int) -> list[pytest.MarkDecorator]:
    """Of case (FAMILIES[family], SCALES[scales])."""
    if (FAMILIES[family], *SCALES[scales]) in QUICK:
        return []
    in_turn = scales == family % len(SCALES)
    return [pytest.mark.slow] if in_turn else [pytest.mark.slow, pytest.mark.matrix]


CASES = [
    pytest.param(
        family,
        CompileOptions(LENGTH, activations, scales),
        id=f"{family}-{activations}-{scales}",
        marks=marks(FAMILIES.index(family), number),
    )
    for family in FAMILIES
    for number, (activations, scales) in enumerate(SCALES)
]
CASES += [
    pytest.param(
        family,
        CompileOptions(LENGTH, activations, scales, weights="int4"),
        id=f"{family}-{activations}-{scales}-int4",
        marks=marks,
    )
    for family, activations, scales, marks in (
        ("llama-odd", "dynamic", "calibrated", [pytest.mark.slow]),  # rows that do not divide into groups
        ("llama-mha-tied", "dynamic", "dynamic", [pytest.mark.slow]),
        ("llama-gqa-untied", "static", "dynamic", [pytest.mark.slow]),
        ("gpt2", "static", "calibrated", [pytest.mark.slow]),
    )
]


def greedy(
    step: Callable[[int, int], np.ndarray], prompt: tuple[int, ...], tokens: int
) -> tuple[list[int], np.ndarray]:
    """Tokens chosen greedily, and the logits of every step: float32[len(prompt) + tokens - 1, vocabulary]."""
    logits = [np.array(step(token, position)) for position, token in enumerate(prompt)]
    chosen = [int(logits[-1].argmax())]
    while len(chosen) < tokens:
        logits.append(np.array(step(chosen[-1], len(logits))))
        chosen.append(int(logits[-1].argmax()))
    return chosen, np.stack(logits)


def stepper(program: torch.export.ExportedProgram) -> Callable[[int, int], np.ndarray]:
    """The logits of one position after the other, float32[vocabulary], by a decoder's graph in PyTorch."""
    module = program.module(check_guards=False)

    def step(token: int, position: int) -> np.ndarray:
        with torch.no_grad():
            return module(input_ids=torch.tensor([[token]]), cache_position=torch.tensor([position]))[
                0, 0
            ].numpy()

    return step


@pytest.mark.parametrize(("family", "options"), CASES)
def test_host_and_device_compute_the_quantized_graph(
    family: str,
    options: CompileOptions,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = str(checkpoint(family))
    few = 24
    graphs: list[tuple[list[int], np.ndarray]] = []

    def observed(*arguments: Any, **settings: Any) -> Any:
        """The graph is asked before it is lowered: deriving it once more would take as long."""
        found = quantized_step(*arguments, **settings)
        graphs.append(greedy(stepper(found[0]), PROMPT, few - len(PROMPT) + 1))
        return found

    monkeypatch.setattr(decoder, "quantized_step", observed)

    def project(board: str) -> Path:
        return generate(GenerateRequest(board, options, model=folder, output=tmp_path / board)).project

    firmware = project("corstone-300")
    # A project for this computer has weights in another layout, and so a lowering of its own: in the matrix. The host of
    # every run is that of the firmware's project.
    is_alone = request.node.get_closest_marker("slow") is not None
    on_host = build(project("host") if is_alone else firmware, "host")
    on_device = build(firmware, "release")
    asked = Request(ids=PROMPT, tokens=STEPS - len(PROMPT) + 1, past_end=True)
    host_run = host.run(on_host.program, asked)
    device_run = qemu.run(load_board("corstone-300"), on_device.program, asked, timeout=300)
    assert device_run.digest == host_run.digest
    assert device_run.ids == host_run.ids and len(host_run.ids) == asked.tokens
    assert not forbidden_symbols(on_device.program)
    kernels = {path.stem for path in (firmware / "sdk" / "kernels").glob("*/*")}
    assert bool(kernels & {"linear_s4", "gemv_s4_helium"}) == (options.weights == "int4")

    assert on_host.library is not None
    model = HostModel(on_host.library)
    tokens, logits = greedy(model.step, PROMPT, asked.tokens)
    assert tuple(tokens) == tuple(host_run.ids)
    assert f"{model.digest([logits]):016x}" == host_run.digest

    if not graphs:  # what was lowered for another test came from the cache
        observed(find_checkpoint(folder), options)
    for wanted_tokens, wanted in graphs:
        assert tokens[: len(wanted_tokens)] == wanted_tokens
        # The references of our operators are exact, bit for bit; what aten does itself (adding, multiplying) is one IEEE
        # operation each. Nothing may differ.
        np.testing.assert_array_equal(logits[:few], wanted)
