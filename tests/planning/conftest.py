"""Tiny .pte files, exported once per test session."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
import torch


@dataclass(frozen=True)
class Tiny:
    """A .pte, the model it came from, and inputs for it."""

    data: bytes
    model: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]


class Mlp(torch.nn.Module):
    """f32[2,6] -> f32[2,4]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.second = torch.nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


class Stateful(torch.nn.Module):
    """A cache row is written on each step; outputs of several types and an operator with two results."""

    cache: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Linear(8, 8)
        self.register_buffer("cache", torch.zeros(4, 8))

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = torch.relu(self.project(x))
        self.cache.index_copy_(0, position, y)
        halves = torch.split(y, 4, 1)
        return self.cache.sum(0) + y, y.argmax(-1), torch.cat([y, x]), halves[0] * halves[1]


METADATA = {"get_n": 3, "name": "tiny", "half": 0.5, "flag": True, "ids": [1, 2], "table": torch.arange(4)}


def _edge(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> Any:
    from executorch.exir import to_edge

    with torch.no_grad():
        exported = torch.export.export(model.eval(), inputs)
    return to_edge(exported, **options)


def _two_memories(alignment: int, specs: Any, module: Any, signature: Any, padding: int) -> list[int]:
    """ExecuTorch's greedy planner, with the mutable buffers in memory 2."""
    from executorch.exir.memory_planning import MemoryPlanningAlgorithmSuite, greedy

    mutated = set(signature.buffers_to_mutate.values())
    for node in module.graph.nodes:
        if node.op == "placeholder" and signature.inputs_to_buffers.get(node.name) in mutated:
            node.meta["spec"].mem_id = 2
    sizes: list[int] = MemoryPlanningAlgorithmSuite([greedy])(alignment, specs, module, signature, padding)
    return sizes


def _stateful(**options: Any) -> Tiny:
    from executorch.exir import ExecutorchBackendConfig

    torch.manual_seed(1)
    model = Stateful()
    inputs = (torch.randn(1, 8), torch.tensor([1]))
    edge = _edge(model, inputs, constant_methods=METADATA)
    config = ExecutorchBackendConfig(constant_tensor_alignment=16, **options)
    return Tiny(bytes(edge.to_executorch(config).buffer), model, inputs)


def _mlp() -> Tiny:
    from executorch.exir import ExecutorchBackendConfig

    torch.manual_seed(0)
    model = Mlp()
    inputs = (torch.randn(2, 6),)
    program = _edge(model, inputs).to_executorch(ExecutorchBackendConfig(emit_stacktrace=True))
    return Tiny(bytes(program.buffer), model, inputs)


def _inline(tiny: Tiny) -> Tiny:
    """The same program as older versions wrote it: constants in the flatbuffer, no header, no segments."""
    from executorch.exir._serialize._flatbuffer_program import _program_to_flatbuffer
    from executorch.exir._serialize._program import deserialize_pte_binary

    program = deserialize_pte_binary(tiny.data).program
    data = _program_to_flatbuffer(program, constant_tensor_alignment=16).data
    return Tiny(data, tiny.model, tiny.inputs)


def _unplanned_io() -> Tiny:
    from executorch.exir.passes import MemoryPlanningPass

    planning = MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=False)
    return _stateful(memory_planning_pass=planning)


def _kv_cache() -> Tiny:
    from executorch.exir.passes import MemoryPlanningPass

    planning = MemoryPlanningPass(memory_planning_algo=_two_memories)
    return _stateful(memory_planning_pass=planning, emit_mutable_buffer_names=True, run_reinplace_pass=True)


def _delegated() -> Tiny:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    torch.manual_seed(0)
    model = Mlp()
    inputs = (torch.randn(2, 6),)
    exported = torch.export.export(model.eval(), inputs)
    edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    return Tiny(bytes(edge.to_executorch().buffer), model, inputs)


def _quantized() -> Tiny:
    """The stock Cortex-M lowering of the MLP; `model` is the PT2E graph."""
    import executorch.backends.cortex_m.passes  # noqa: F401  (first: the other modules import it in a circle)
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer
    from executorch.exir import EdgeCompileConfig, to_edge
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    torch.manual_seed(0)
    inputs = (torch.randn(2, 6),)
    with torch.no_grad():
        module = torch.export.export(Mlp().eval(), inputs).module(check_guards=False)
        prepared = prepare_pt2e(module, CortexMQuantizer())
        for _ in range(8):
            prepared(torch.randn(2, 6))
        converted = convert_pt2e(prepared)
        exported = torch.export.export(converted, inputs)
    config = EdgeCompileConfig(_check_ir_validity=False, preserve_ops=[torch.ops.aten.linear.default])
    edge = to_edge(exported, compile_config=config)
    edge._edge_programs["forward"] = CortexMPassManager(edge.exported_program()).transform()
    return Tiny(bytes(edge.to_executorch().buffer), converted, inputs)


@pytest.fixture(scope="session")
def tiny() -> dict[str, Tiny]:
    """By name: mlp, stateful (names and values as ExecuTorch writes them by default), kv_cache (the buffer in
    memory 2, updated in place), unplanned_io, inline, delegated, quantized."""
    logging.getLogger().setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stateful = _stateful()
        return {
            "mlp": _mlp(),
            "stateful": stateful,
            "kv_cache": _kv_cache(),
            "unplanned_io": _unplanned_io(),
            "inline": _inline(stateful),
            "delegated": _delegated(),
            "quantized": _quantized(),
        }
