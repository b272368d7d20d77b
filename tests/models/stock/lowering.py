"""Models lowered the way ExecuTorch's own Cortex-M flow does it, without any pass of this SDK.

Quantizer, pass manager and configurations are ExecuTorch's; the files are made at test time, as a user of
ExecuTorch would make them, and kept under a key of everything they depend on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

Inputs = tuple["torch.Tensor", ...]


@dataclass(frozen=True)
class Stock:
    """A lowered model with what is needed to check a run of it."""

    pte: Path
    steps: list[Inputs]
    """Inputs of successive steps; mutable buffers live from step to step."""
    expected: list[list[torch.Tensor]]
    """What the converted PyTorch module answers."""


def stock(name: str, folder: Path) -> Stock:
    """The model `name` (a key of MODELS) lowered, from `folder` when it was made there before."""
    import torch

    key = sha256(Path(__file__).read_bytes())
    for package in ("executorch", "torch", "torchao", "transformers"):
        key.update(version(package).encode())
    pte = folder / f"{name}-{key.hexdigest()[:12]}.pte"
    beside = pte.with_suffix(".pt")
    with (folder / f"{name}.lock").open("w") as lock:  # two workers want it: one makes it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not beside.exists():
            torch.manual_seed(0)
            data, steps, expected = MODELS[name]()
            partial = pte.with_suffix(f".{os.getpid()}")
            partial.write_bytes(data)
            partial.replace(pte)
            torch.save((steps, expected), partial)
            partial.replace(beside)
    steps, expected = torch.load(beside)
    return Stock(pte, steps, expected)


Made = tuple[bytes, list[Inputs], list[list["torch.Tensor"]]]


def _run(module: torch.nn.Module, inputs: Inputs, names: Sequence[str]) -> list[torch.Tensor]:
    """The outputs for `inputs`, which go by name where names are given."""
    import torch

    result = module(**dict(zip(names, inputs, strict=True))) if names else module(*inputs)
    return [t.clone() for t in ([result] if isinstance(result, torch.Tensor) else result)]


def _buffers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def _restore(module: torch.nn.Module, before: dict[str, torch.Tensor]) -> None:
    """Caches as the first step finds them: running the module has left data there."""
    for name, buffer in module.named_buffers():
        if name in before and before[name].shape == buffer.shape:
            buffer.copy_(before[name])


def quantized(
    program: ExportedProgram, calibration: Sequence[Inputs], steps: list[Inputs], names: Sequence[str] = ()
) -> Made:
    """Quantize with CortexMQuantizer, lower with CortexMPassManager, for the default target (Cortex-M55)."""
    import executorch.backends.cortex_m.passes  # noqa: F401  must come before anything from its operators
    import torch
    from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer
    from executorch.exir import to_edge
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(program.module(check_guards=False), CortexMQuantizer())
    with torch.no_grad():
        before = _buffers(prepared)
        for inputs in calibration:
            _run(prepared, inputs, names)
        converted = convert_pt2e(prepared).requires_grad_(False)
        _restore(converted, before)
        expected = [_run(converted, inputs, names) for inputs in steps]
        _restore(converted, before)
        example = (() if names else steps[0], dict(zip(names, steps[0], strict=False)))
        again = torch.export.export(converted, *example, strict=False)
    with torch.no_grad():
        edge = to_edge(again, compile_config=cortex_m_edge_compile_config())
    edge._edge_programs["forward"] = CortexMPassManager(edge.exported_program()).transform()
    return bytes(edge.to_executorch().buffer), steps, expected


def _float(program: ExportedProgram, steps: list[Inputs], names: Sequence[str]) -> Made:
    """No quantization: to_edge and to_executorch as they come."""
    import torch
    from executorch.exir import to_edge

    module = program.module(check_guards=False)
    with torch.no_grad():
        before = _buffers(module)
        expected = [_run(module, inputs, names) for inputs in steps]
        _restore(module, before)
    return bytes(to_edge(program).to_executorch().buffer), steps, expected


def export(module: torch.nn.Module, inputs: Inputs) -> ExportedProgram:
    import torch

    module = module.eval().requires_grad_(False)
    with torch.no_grad():
        return torch.export.export(module, inputs, strict=False)


def _made_up(*shape: int, count: int) -> list[Inputs]:
    import torch

    return [(torch.randn(*shape),) for _ in range(count)]


def mlp() -> Made:
    """Linear, ReLU, Linear."""
    from torch import nn

    module = nn.Sequential(nn.Linear(20, 33), nn.ReLU(), nn.Linear(33, 7))
    calibration = _made_up(1, 20, count=8)
    return quantized(export(module, calibration[0]), calibration, _made_up(1, 20, count=4))


def encoder(activation: str) -> Made:
    """One transformer encoder layer on one sequence of nine vectors of 32."""
    from torch import nn

    module = nn.TransformerEncoderLayer(
        32, 4, 48, dropout=0.0, activation=activation, batch_first=True, norm_first=activation == "gelu"
    )
    for name, parameter in module.named_parameters():
        if "bias" in name or "norm" in name:
            nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.1)
    calibration = _made_up(1, 9, 32, count=8)
    return quantized(export(module, calibration[0]), calibration, _made_up(1, 9, 32, count=3))


def convolutions() -> Made:
    """A small image classifier: convolutions, depthwise ones, pools, residual sum."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.point = nn.Conv2d(8, 8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.point(self.depthwise(x).relu())

    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        Residual(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU6(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.Softmax(-1),
    )
    # The stock quantizer takes convolutions with channels last only.
    module = module.to(memory_format=torch.channels_last)
    images = [(x.contiguous(memory_format=torch.channels_last),) for (x,) in _made_up(1, 3, 16, 16, count=11)]
    return quantized(export(module, images[0]), images[:8], images[8:])


def arithmetic() -> Made:
    """A difference, a quotient, functions by table and a pool that rounds its size up."""
    import torch
    from torch import nn

    class Arithmetic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(3, 2, ceil_mode=True)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            difference = torch.nn.functional.gelu(x - y)
            quotient = difference / torch.exp(torch.tanh(y))
            return self.pool(torch.log1p(quotient * quotient))

    def channels_last(x: torch.Tensor) -> torch.Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    pairs: list[Inputs] = [
        (channels_last(torch.randn(1, 4, 6, 8)), channels_last(torch.randn(1, 4, 6, 8))) for _ in range(11)
    ]
    return quantized(export(Arithmetic(), pairs[0]), pairs[:8], pairs[8:])


def decoder_program(kind: str, length: int = 24) -> ExportedProgram:
    """One step of the random-weight model that tests/models/<kind>.json describes, with a static cache."""
    import json

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
    from transformers.integrations.executorch import convert_and_export_with_cache

    settings = json.loads((Path(__file__).parent.parent / f"{kind}.json").read_text())
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings)).eval().requires_grad_(False)
    model.generation_config = GenerationConfig(
        use_cache=True,
        cache_implementation="static",
        max_length=length,
        cache_config={"batch_size": 1, "max_cache_len": length},
    )
    with torch.no_grad():
        return convert_and_export_with_cache(model)


DECODER_INPUTS = ("input_ids", "cache_position")


def _tokens(count: int) -> list[Inputs]:
    import torch

    return [(torch.randint(0, 250, (1, 1)), torch.tensor([position])) for position in range(count)]


@contextmanager
def _index_copy_not_shared() -> Iterator[None]:
    """Without this, the cache's scale would be that of the zeros it begins with."""
    import torch
    from executorch.backends.arm.quantizer.arm_quantizer_utils import SharedQspecQuantizer

    before = SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT
    aten = torch.ops.aten
    copies = (aten.index_copy.default, aten.index_copy_.default)
    SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT = [op for op in before if op not in copies]
    try:
        yield
    finally:
        SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT = before


def llama() -> Made:
    """Two layers of a Llama with grouped queries and a float cache, one token a step."""
    import executorch.backends.cortex_m.passes  # noqa: F401  must come before its quantizer

    with _index_copy_not_shared():
        return quantized(decoder_program("llama-odd"), _tokens(12), _tokens(6), DECODER_INPUTS)


def float_decoder(kind: str) -> Made:
    """A decoder in float32, nothing quantized and nothing fused."""
    return _float(decoder_program(kind), _tokens(6), DECODER_INPUTS)


MODELS: dict[str, Callable[[], Made]] = {
    "mlp": mlp,
    "encoder-relu": lambda: encoder("relu"),
    "encoder-gelu": lambda: encoder("gelu"),
    "convolutions": convolutions,
    "arithmetic": arithmetic,
    "llama": llama,
    "float-gpt2": lambda: float_decoder("gpt2"),
    "float-qwen3": lambda: float_decoder("qwen3"),
    "float-gemma": lambda: float_decoder("gemma"),
}
