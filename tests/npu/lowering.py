"""Lowering of a case with ExecuTorch's Ethos-U backend, and the TOSA reference model's answer to the same inputs."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcu_sdk import cache
from tests.npu.models import Case

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Lowered:
    """A delegate's blob, and the TOSA graph that Vela made it of."""

    blob: bytes
    tosa: bytes


def lower(case: Case, accelerator: str) -> Lowered:
    """The case, calibrated on seeded noise and compiled for an accelerator. Kept in the cache of this run.

    U55 and U65 compile the same TOSA graph, all U85 another one: each is made once.
    """
    source = "ethos-u85-256" if "u85" in accelerator else "ethos-u55-128"
    tosa = _kept(f"{case.name} tosa {source}", lambda: _make_tosa(case, source))
    blob = _kept(f"{case.name} {accelerator}", lambda: compile_tosa(tosa, accelerator, case.flags))
    return Lowered(blob, tosa)


def compile_tosa(
    tosa: bytes, accelerator: str, flags: Sequence[str] = (), memory_mode: str | None = None
) -> bytes:
    """A TOSA graph through Vela, packed as a delegate's blob; the options are ExecuTorch's own for the accelerator."""
    from executorch.backends.arm.arm_vela import vela_compile
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    spec = EthosUCompileSpec(accelerator, memory_mode=memory_mode, extra_flags=list(flags))
    with contextlib.redirect_stdout(io.StringIO()):  # Vela prints a summary
        return bytes(vela_compile(tosa, list(spec.compiler_flags)).processed_bytes)


def _kept(decides: str, make: Callable[[], bytes]) -> bytes:
    sources = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("models.py", "lowering.py"))
    versions = str(sorted(cache.package_versions().items()))
    key = "npu-" + hashlib.sha256(sources + versions.encode() + decides.encode()).hexdigest()
    kept = cache.load(key, ("content",))
    if kept is None:
        kept = {"content": make()}
        cache.store(key, kept)
    return kept["content"]


def _make_tosa(case: Case, accelerator: str) -> bytes:
    import torch
    from executorch.backends.arm.ethosu import EthosUCompileSpec
    from executorch.backends.arm.quantizer import (
        EthosUQuantizer,
        get_symmetric_a16w8_quantization_config,
        get_symmetric_quantization_config,
    )
    from executorch.backends.arm.tosa import TosaSpecification
    from executorch.backends.arm.tosa.compile_spec import TosaCompileSpec
    from executorch.backends.arm.tosa.partitioner import TOSAPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    torch.manual_seed(1)
    module = case.make().eval()
    generator = torch.Generator().manual_seed(2)
    samples = [tuple(torch.randn(shape, generator=generator) for shape in case.shapes) for _ in range(4)]
    ethos_u = EthosUCompileSpec(accelerator)
    quantizer = EthosUQuantizer(ethos_u)
    if case.bits == 8:
        quantizer.set_global(get_symmetric_quantization_config())
    else:
        quantizer.set_global(get_symmetric_a16w8_quantization_config())
    prepared = prepare_pt2e(torch.export.export(module, samples[0]).module(check_guards=False), quantizer)
    for sample in samples:
        prepared(*sample)
    exported = torch.export.export(convert_pt2e(prepared), samples[0])
    spec = TosaCompileSpec(TosaSpecification.create_from_string(str(ethos_u.tosa_spec)))
    edge = to_edge_transform_and_lower(exported, partitioner=[TOSAPartitioner(spec)])
    children = edge.exported_program().graph_module.named_children()
    delegates = [child for name, child in children if name.startswith("lowered_module")]
    (delegate,) = delegates  # one, or the case does not test what it says
    return bytes(delegate.processed_bytes)


def random_inputs(tosa: bytes, seed: int) -> list[Array]:
    """An array over the whole range of its type for each of the graph's inputs."""
    from tosa.DType import DType
    from tosa.TosaGraph import TosaGraph

    types = {DType.INT8: np.int8, DType.INT16: np.int16, DType.INT32: np.int32}
    block = TosaGraph.GetRootAs(tosa, 0).Regions(0).Blocks(0)
    tensors = {block.Tensors(i).Name(): block.Tensors(i) for i in range(block.TensorsLength())}
    generator = np.random.default_rng(seed)
    arrays: list[Array] = []
    for index in range(block.InputsLength()):
        tensor = tensors[block.Inputs(index)]
        limits = np.iinfo(types[tensor.Type()])
        shape = [int(size) for size in tensor.ShapeAsNumpy()]
        arrays.append(
            generator.integers(limits.min, limits.max, shape, dtype=types[tensor.Type()], endpoint=True)
        )
    return arrays


def reference(tosa: bytes, inputs: Sequence[Array]) -> list[Array]:
    """What the TOSA reference model says."""
    import tosa_reference_model

    outputs, status = tosa_reference_model.run(tosa, list(inputs))
    assert status == tosa_reference_model.GraphStatus.TOSA_VALID, status
    return [np.asarray(output) for output in outputs]
