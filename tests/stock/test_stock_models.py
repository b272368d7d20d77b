"""`generate --pte` takes what ExecuTorch's own Cortex-M flow makes: an MLP, an encoder layer, a two-layer Llama."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mcu_sdk.compiler.interpret import Interpreter
from mcu_sdk.compiler.pte import read_pte
from mcu_sdk.generate import GenerateRequest, generate
from mcu_sdk.pipeline import CompileOptions
from mcu_sdk.project.board import load_board
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.stock import models


@pytest.mark.parametrize("make", [models.mlp, models.encoder, models.llama], ids=lambda make: make.__name__)
def test_a_stock_lowering_becomes_firmware(make: Callable[..., object], tmp_path: Path) -> None:
    stock = models.make(make)
    file = tmp_path / "model.pte"
    file.write_bytes(stock.pte)
    on_host = build(_generate("host", file, tmp_path), "host")
    assert on_host.library is not None
    model = HostModel(on_host.library)
    model.reset()
    interpreter = Interpreter(read_pte(stock.pte))
    interpreter.reset()
    for given in stock.inputs:
        found = model.run([tensor.numpy() for tensor in given])[-1]
        by_torch = interpreter.run(*given)[-1].numpy().ravel()
        with torch.no_grad():
            simulated = models.call(stock.module, given).numpy().ravel()
        step = (simulated.max() - simulated.min()) / 255
        # The same .pte by ExecuTorch's own references: integers are exact, and floats (softmax, norms) may differ in
        # the last bits, which can move an int8 value by one step of the output's 256 where it was on the edge.
        assert np.abs(found - by_torch).max() <= 1.5 * step
        # The module before lowering computes in float between quantized values; the Cortex-M operators round there
        # in fixed point. That is not ours to choose: this bound only says that it is the same model.
        assert np.abs(found - simulated).max() <= 16 * step

    on_device = build(_generate("corstone-300", file, tmp_path), "release")
    request = Request(steps=4, seed=3)
    device_run = qemu.run(load_board("corstone-300"), on_device.program, request, timeout=300)
    assert device_run.digest == host.run(on_host.program, request).digest


def _generate(board: str, file: Path, folder: Path) -> Path:
    return generate(GenerateRequest(board, CompileOptions(), pte=file, output=folder / board)).project
