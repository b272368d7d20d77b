"""A quantized step -> a .pte: ExecuTorch's Cortex-M passes, writes in place, planned memory."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.module_path import module_path
from mcu_sdk.lowering.portable import check_portable
from mcu_sdk.lowering.record import number_calls, record_of

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager, ExecutorchProgramManager
    from torch._ops import OpOverload
    from torch.export import ExportedProgram
    from torch.fx import Node

FORWARD, PREFILL, ENCODER = "forward", "prefill", "encoder"
"""The methods' names: a step, a chunk of a prompt, and what writes the caches of a step's cross attention."""

ALIGNMENT = 16
"""Bytes. Constants and planned tensors begin at multiples of it, as vector loads want."""


@dataclass(frozen=True)
class Lowered:
    """A .pte and the module path each of its kernel calls came from ("" where it is not known), `forward`'s, then that of the
    method beside it. `etrecord`: the ETRecord of `forward`, where one was asked for."""

    pte: bytes
    names: tuple[str, ...]
    etrecord: bytes = b""


def lower(
    program: ExportedProgram,
    metadata: Mapping[str, int | bool | list[int] | str],
    *,
    prefill: ExportedProgram | None = None,
    encoder: ExportedProgram | None = None,
    cortex_m_passes: bool = True,
    record: bool = False,
) -> Lowered:
    """Lower a method "forward" and, where they are given, "prefill" and "encoder", which share the weights and by their names
    the buffers that live from call to call; `metadata` are constant methods (a list becomes several outputs).

    `cortex_m_passes` turns quantized operators into Cortex-M's; around a delegate there are none. `record`: with an ETRecord. Raises ModelError
    when ExecuTorch refuses the program.
    """
    beside = {PREFILL: prefill, ENCODER: encoder}
    methods = {FORWARD: program, **{name: other for name, other in beside.items() if other is not None}}
    return lower_edge(to_edge_dialect(methods, metadata, cortex_m_passes), record=record)


def lower_portable(program: ExportedProgram, metadata: Mapping[str, Any], *, record: bool = False) -> Lowered:
    """Lower a method "forward" to ExecuTorch's portable and quantized kernels alone. Raises ModelError when ExecuTorch refuses
    the program, or where it takes an operator that these libraries do not have."""
    edge = to_edge_dialect({FORWARD: program}, metadata, cortex_m_passes=False, preserved=())
    return lower_edge(edge, check_operators=check_portable, record=record)


def lower_edge(
    edge: EdgeProgramManager,
    *,
    check_operators: Callable[[Sequence[str]], None] | None = None,
    record: bool = False,
) -> Lowered:
    """The last stage, for a program that is in the edge dialect: writes in place, planned memory, the file.

    `check_operators` raises what there is against the operators in the file, by their full names. Raises ModelError when
    ExecuTorch refuses the program.
    """
    from executorch.exir import ExecutorchBackendConfig
    from executorch.exir.passes import MemoryPlanningPass

    from mcu_sdk.lowering.memory import plan_memory

    for method in edge.methods:
        _write_in_place(edge, method)
    recorded = number_calls(edge.exported_program(FORWARD)) if record else None
    planning = MemoryPlanningPass(
        memory_planning_algo=plan_memory,
        share_mutable_buffers=len(edge.methods) > 1,
        alignment=ALIGNMENT,
    )
    config = ExecutorchBackendConfig(
        run_reinplace_pass=False,
        memory_planning_pass=planning,
        emit_mutable_buffer_names=True,
        extract_delegate_segments=True,
        constant_tensor_alignment=ALIGNMENT,
    )
    try:
        lowered = edge.to_executorch(config)
    except Exception as error:
        raise _refused(error) from error
    if check_operators is not None:
        check_operators(_operators_of(lowered))
    pte = bytes(lowered.buffer)
    methods = [name for name in (FORWARD, PREFILL, ENCODER) if name in edge.methods]
    names = tuple(name for method in methods for name in _instruction_names(lowered, method))
    return Lowered(pte, names, b"" if recorded is None else record_of(recorded, lowered))


def _operators_of(lowered: ExecutorchProgramManager) -> list[str]:
    """The full names of the operators that the methods call: "aten::add.out"."""
    found = [each for plan in lowered.executorch_program.execution_plan for each in plan.operators]
    return [f"{each.name}.{each.overload}" if each.overload else each.name for each in found]


def to_edge_dialect(
    methods: Mapping[str, ExportedProgram],
    metadata: Mapping[str, Any],
    cortex_m_passes: bool,
    preserved: Sequence[OpOverload] = (torch.ops.aten.linear.default, torch.ops.aten.silu.default),
) -> EdgeProgramManager:
    """The first stage: methods in the edge dialect, for `lower_edge`.

    `preserved`: operators of ATen that are not decomposed; those beyond the core set are let through. Raises ModelError when
    ExecuTorch refuses a program.
    """
    import executorch.backends.cortex_m.passes  # noqa: F401  must come before anything from its operators
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.exir import EdgeCompileConfig, to_edge

    config = EdgeCompileConfig(
        _check_ir_validity=False,
        preserve_ops=list(preserved),
        _core_aten_ops_exception_list=[
            each for each in preserved if each is not torch.ops.aten.linear.default
        ],
    )
    try:
        edge = to_edge(dict(methods), compile_config=config, constant_methods=dict(metadata))
        for method in methods if cortex_m_passes else ():
            passes = CortexMPassManager(edge.exported_program(method))
            edge._edge_programs[method] = passes.transform()
    except Exception as error:
        raise _refused(error) from error
    return edge


def _refused(error: Exception) -> ModelError:
    """ExecuTorch raises all kinds; the first line usually names the operator."""
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return ModelError(
        f"ExecuTorch could not lower the quantized model: {type(error).__name__}: {first}",
        hint="The architecture needs an operator that has no form for a device; --debug shows the whole story.",
    )


def _write_in_place(edge: EdgeProgramManager, method: str) -> None:
    """Make cache updates overwrite their buffers, keeping the module names that the pass drops."""
    from executorch.exir.dialects._ops import ops
    from executorch.exir.passes.reinplace import DEFAULT_INPLACEABLE_OPS, reinplace_pass

    import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
    from mcu_sdk.operators.table import is_in_place, own_operators

    def overload(name: str) -> Any:
        operator, _, suffix = name.partition(".")
        return getattr(getattr(ops.edge.mcu, operator), suffix or "default")

    overrides = {
        overload(row.plain_name): overload(row.in_place_name) for row in own_operators() if row.in_place
    }
    program = edge._edge_programs[method]
    kept: dict[int, dict[str, Any]] = {}  # by the value, which the pass gives to the node that it puts in
    functional = set(overrides) | set(DEFAULT_INPLACEABLE_OPS)
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target in functional:
            kept[id(node.meta["val"])] = dict(node.meta)
    program = reinplace_pass(program, inplace_overrides=overrides, ops_to_inplace=DEFAULT_INPLACEABLE_OPS)
    for node in program.graph.nodes:
        replaced = node.op == "call_function" and id(node.meta.get("val")) in kept
        if replaced and is_in_place(node.target._schema.name):
            for key, value in kept[id(node.meta["val"])].items():
                node.meta.setdefault(key, value)
    program.graph_module.recompile()
    edge._edge_programs[method] = program


def _instruction_names(lowered: ExecutorchProgramManager, method: str) -> tuple[str, ...]:
    """One module path for each kernel call of a method, in order.

    The .pte carries none. The graph's calls and the plan's instructions are walked together; they must agree.
    """
    from executorch.exir import memory

    skipped = (memory.alloc, memory.view, operator.getitem, memory.free)
    nodes = [
        n
        for n in lowered.exported_program(method).graph.nodes
        if n.op == "call_function" and n.target not in skipped
    ]
    plan = next(p for p in lowered.executorch_program.execution_plan if p.name == method)
    executed = [i.instr_args for i in plan.chains[0].instructions]
    calls = [i for i in executed if hasattr(i, "op_index") or hasattr(i, "delegate_index")]
    if len(nodes) != len(calls):
        logging.getLogger(__name__).warning(
            "%d nodes for %d instructions: names are lost", len(nodes), len(calls)
        )
        return ("",) * len(calls)
    names = []
    for node, call in zip(nodes, calls, strict=True):
        if hasattr(call, "delegate_index"):
            names.append("")  # a delegate is no module of its own
            continue
        wanted = plan.operators[call.op_index].name.split("::")[-1]
        schema = getattr(node.target, "_schema", None)
        found = schema.name.split("::")[-1] if schema is not None else ""
        names.append(_name_of(node) if wanted == found else "")
    return tuple(names)


def _name_of(node: Node) -> str:
    """The node's module, or the one of what consumes it (quantize nodes have none of their own)."""
    seen = 0
    while not module_path(node) and node.users and seen < 8:
        node, seen = next(iter(node.users)), seen + 1
    return module_path(node)
