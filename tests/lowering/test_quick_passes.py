"""What is left out of lowering changes no byte of what is written."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from mcu_sdk.board.npu_target import default_target
from mcu_sdk.lowering import quick_passes as quick_passes_module
from mcu_sdk.lowering.calibrate import cache_ranges, sample_windows
from mcu_sdk.lowering.ethos_u import delegate
from mcu_sdk.lowering.ethos_u.compile import CompiledModule, lower_decoder, quantize_decoder
from mcu_sdk.lowering.ethos_u.module import compile_module_npu
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.metadata import llm_metadata
from mcu_sdk.lowering.quick_passes import quick_passes
from mcu_sdk.model.load import find_checkpoint, load_model
from tests.checkpoints import make_checkpoint

TARGET = default_target("ethos-u55-128")


class Net(nn.Module):
    """Products, functions and moves for the NPU on either side of a sort, which it does not take."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = self.first(x).reshape(1, 2, 8).transpose(1, 2).flatten(1)
        ordered = torch.sort(torch.softmax(turned, -1)).values
        return self.second(torch.sigmoid(ordered) + ordered)


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Undone, lowering leaves out what it can again."""
    monkeypatch.setattr(delegate, "make_opaque", lambda module: None)
    monkeypatch.setattr(delegate, "decomposed_once", nullcontext)
    return monkeypatch


def told(compiled: CompiledModule) -> list[object]:
    graphs = [(each.tosa, each.vela_summary) for each in compiled.delegates]
    return [compiled.pte, compiled.names, compiled.facts, graphs]


def test_a_module_for_an_npu_and_the_processor(plainly: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module, calls = Net().eval(), [(torch.randn(1, 8),) for _ in range(2)]
    plain = compile_module_npu(module, calls[0], calls, TARGET)
    plainly.undo()
    with quick_passes():
        quick = compile_module_npu(module, calls[0], calls, TARGET)
    assert len(quick.delegates) == 2
    assert told(quick) == told(plain)


def test_a_step_for_the_processor(tmp_path: Path) -> None:
    model = load_model(find_checkpoint(str(make_checkpoint("llama-odd", tmp_path))))
    metadata = llm_metadata(model, 16)

    def fused() -> ExportedProgram:
        program = export_decoder(model, 16)
        fuse(program, 16, None)
        return program

    one, another = fused(), fused()
    plain = lower(one, metadata)
    with quick_passes():
        quick = lower(another, metadata)
    assert (quick.pte, quick.names) == (plain.pte, plain.names)


@pytest.mark.slow
def test_a_step_for_an_npu(tmp_path: Path, plainly: pytest.MonkeyPatch) -> None:
    checkpoint = make_checkpoint("llama-gqa-untied", tmp_path, num_hidden_layers=1)
    model = load_model(find_checkpoint(str(checkpoint)))
    metadata, windows = llm_metadata(model, 12), sample_windows(model, 12)
    program = export_decoder(model, 12)
    fuse(program, 12, cache_ranges(model, windows))

    def lowered() -> list[object]:
        return told(lower_decoder(quantize_decoder(program, model, 12, windows, TARGET), TARGET, metadata))

    plain = lowered()
    plainly.undo()
    with quick_passes():
        assert lowered() == plain


@pytest.mark.parametrize("package", quick_passes_module.PACKAGES)
def test_nothing_is_left_out_with_other_versions(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs are other functions."""
    monkeypatch.setattr(quick_passes_module, "is_pinned_version", lambda name: name != package)
    monkeypatch.setattr(quick_passes_module, "remembered_shapes", None)  # calling it is an error
    with quick_passes():
        pass
