"""`generate --pte` takes what ExecuTorch's own Cortex-M flow makes: firmware that computes the same on the host and on
the simulated Cortex-M55, and what ExecuTorch's references compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.verify import verify
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.models.stock.lowering import Stock


@pytest.mark.parametrize(
    "name", ["mlp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("llama", "encoder-gelu"))]
)
def test_a_stock_lowering_becomes_firmware(
    name: str, stock_model: Callable[[str], Stock], tmp_path: Path
) -> None:
    lowered = stock_model(name)
    on_host = build(_generate("host", lowered.pte, tmp_path), "host")
    assert on_host.library is not None
    model = HostModel(on_host.library)
    model.reset()
    interpreter = Interpreter(read_pte(lowered.pte.read_bytes()))
    interpreter.reset()
    for given in lowered.steps:
        found = model.run([tensor.numpy() for tensor in given])[-1]
        wanted = interpreter.run(*given)[-1].numpy().ravel()
        # The same .pte by ExecuTorch's own references: integers are exact, and floats (softmax, norms) may differ in
        # the last bits, which can move an int8 value by one step of the output's 256 where it was on the edge.
        assert np.abs(found - wanted).max() <= 1.5 * (wanted.max() - wanted.min()) / 255

    on_device = build(_generate("corstone-300", lowered.pte, tmp_path), "release")
    request = Request(steps=4, seed=3)
    device_run = qemu.run(load_board("corstone-300"), on_device.program, request, timeout=300)
    assert device_run.digest == host.run(on_host.program, request).digest


@pytest.mark.slow
def test_images_in_channels_last_order_are_arrays_of_their_shape(
    stock_model: Callable[[str], Stock], tmp_path: Path
) -> None:
    """`HostModel.of` and `verify` know in which order the elements lie."""
    lowered = stock_model("convolutions")
    pte = read_pte(lowered.pte.read_bytes())
    assert any(
        tensor.dim_order and list(tensor.dim_order) != sorted(tensor.dim_order) for tensor in pte.inputs
    )
    project = _generate("host", lowered.pte, tmp_path)
    model = HostModel.of(project)
    interpreter = Interpreter(pte)
    for given in lowered.steps:
        found, wanted = model.run([tensor.numpy() for tensor in given]), interpreter.run(*given)
        assert [array.shape for array in found] == [tuple(output.shape) for output in wanted]
        for array, output in zip(found, wanted, strict=True):
            # As above: where a float is on the edge, the next int8 value.
            assert np.abs(array - output.numpy()).max() <= 1.5 * float(output.max() - output.min()) / 255
    with pytest.raises(ValueError, match="input 0 is float32"):
        model.run([lowered.steps[0][0].numpy().transpose(0, 2, 3, 1)])
    assert verify(open_project(project), Request(steps=2, seed=5), simulator="host").ok


def _generate(board: str, file: Path, folder: Path) -> Path:
    return generate(GenerateRequest(board, CompileOptions(), pte=file, output=folder / board)).project
