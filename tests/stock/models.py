"""Stock Cortex-M lowerings: models that went through ExecuTorch's own quantizer and passes, none of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class StockModel:
    """A .pte, the quantized module it was lowered from, and inputs to compare the two on."""

    pte: bytes
    module: Callable[..., torch.Tensor]
    inputs: list[tuple[torch.Tensor, ...]]


def mlp() -> tuple[nn.Module, list[tuple[torch.Tensor, ...]]]:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Linear(40, 10))
    return module.eval(), [(torch.randn(1, 24),) for _ in range(8)]


def encoder() -> tuple[nn.Module, list[tuple[torch.Tensor, ...]]]:
    """torch's own encoder layer; its fused fast path is off, so that export sees the operators."""
    torch.manual_seed(2)
    torch.backends.mha.set_fastpath_enabled(False)
    layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True).eval()
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    return layer, [(torch.randn(1, 6, 32),) for _ in range(8)]


def llama() -> tuple[torch.nn.Module, list[tuple[torch.Tensor, ...]]]:
    """A two-layer Llama of transformers, one step with a static cache of 16 positions."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from mcu_sdk.model.export import export_decoder
    from tests.checkpoints import MODELS

    settings = json.loads((MODELS / "llama-mha-tied.json").read_text())
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings)).eval()
    module = export_decoder(model, 16).module(check_guards=False)
    tokens = torch.randint(0, settings["vocab_size"], (16,), generator=torch.Generator().manual_seed(4))
    return module, [(tokens[p].view(1, 1), torch.tensor([p])) for p in range(len(tokens))]


@contextmanager
def _index_copy_unshared() -> Iterator[None]:
    """Take `index_copy` off the stock quantizer's list of operators whose inputs share a scale with the output: a
    float cache on that list ends in a product of int8 and float, which nothing can run."""
    from executorch.backends.arm.quantizer.arm_quantizer_utils import SharedQspecQuantizer

    before = SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT
    SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT = [op for op in before if "index_copy" not in str(op)]
    try:
        yield
    finally:
        SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT = before


def _join_aliases(module: torch.fx.GraphModule) -> None:
    """The stock quantizer gives every use of a buffer an attribute of its own over the same memory; export then
    cannot tell which of them a step changes. Give them one name again."""
    canonical: dict[int, str] = {}
    buffers = dict(module.named_buffers(remove_duplicate=False))
    for node in module.graph.nodes:
        if node.op == "get_attr" and node.target in buffers:
            node.target = canonical.setdefault(buffers[node.target].data_ptr(), node.target)
    for name in set(buffers) - set(canonical.values()):
        delattr(module, name)
    module.recompile()


def call(module: nn.Module, given: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """A decoder's step takes keywords, anything else positions."""
    is_step = len(given) == 2 and given[1].dtype == torch.int64
    output: torch.Tensor = module(input_ids=given[0], cache_position=given[1]) if is_step else module(*given)
    return output


def make(build: Callable[[], tuple[nn.Module, list[tuple[torch.Tensor, ...]]]]) -> StockModel:
    """Export, quantize by the stock quantizer on the model's own inputs, and lower."""
    import executorch.backends.cortex_m.passes  # noqa: F401  before the quantizer: they import each other
    from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    module, inputs = build()
    with torch.no_grad(), _index_copy_unshared():
        if not isinstance(module, torch.fx.GraphModule):
            module = torch.export.export(module, inputs[0], strict=True).module(check_guards=False)
        prepared = prepare_pt2e(module, CortexMQuantizer())
        for given in inputs:
            call(prepared, given)
        converted = convert_pt2e(prepared)
        _join_aliases(converted)
        for name, buffer in converted.named_buffers():
            if "cache" in name:
                buffer.zero_()
        return StockModel(lower(converted, inputs[0]), converted, inputs)


def lower(module: torch.fx.GraphModule, example: tuple[torch.Tensor, ...]) -> bytes:
    """to_edge, the Cortex-M passes, to_executorch: the stock way."""
    import executorch.backends.cortex_m.passes  # noqa: F401
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge

    is_step = len(example) == 2 and example[1].dtype == torch.int64
    keywords = dict(zip(("input_ids", "cache_position"), example, strict=True)) if is_step else {}
    with torch.no_grad():
        program = torch.export.export(module, () if is_step else example, keywords, strict=False)
        program = program.run_decompositions({})
    aten = torch.ops.aten
    config = EdgeCompileConfig(
        preserve_ops=[aten.linear.default, aten.silu.default],
        _check_ir_validity=False,
        _core_aten_ops_exception_list=[aten.silu.default],
    )
    edge = to_edge(program, compile_config=config)
    edge._edge_programs["forward"] = CortexMPassManager(edge.exported_program()).transform()
    return bytes(edge.to_executorch(ExecutorchBackendConfig(run_reinplace_pass=True)).buffer)
