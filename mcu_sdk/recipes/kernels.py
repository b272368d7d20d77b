"""Whether there are kernels for a module: asked of what compiles a plan, before a program is lowered and behind it.

Before, each call of a fused program is made the instruction that it would be in a .pte, and given to its emitter: the one
place that knows which types and shapes a kernel takes. Behind, the .pte itself is compiled.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from mcu_sdk.board.board import Board
from mcu_sdk.errors import ModelError, PteError, UnsupportedOperatorError
from mcu_sdk.planning.fpu import check_integers_only
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.planning.pte.values import ALIGNMENT
from mcu_sdk.planning.registry import emit
from mcu_sdk.recipes.compiled import CompiledModel

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

MOST_KNOWN = 1 << 12
"""Elements of a constant that emitters are shown the values of."""


def check_compiled(compiled: CompiledModel, board: Board | None = None) -> None:
    """Compile a .pte's plan, as `generate --pte` does; for a board, also hold it against what its core computes.

    Raises ModelError for what is refused.
    """
    try:
        plan = compile_plan(read_pte(compiled.pte, compiled.names))
        if board is not None:
            check_integers_only(plan.all_calls, board)
    except PteError as error:
        raise ModelError(
            f"A module that there are kernels for was expected. {error.message}", hint=error.hint
        ) from error


def why_no_kernel(program: ExportedProgram, node: Node) -> str | None:
    """What there is against a call of ATen, decomposed as it is lowered: "there is no kernel for this operator". None where
    there are kernels for it, and where it cannot be said before it is lowered."""
    unknown = [value.dtype for value in _tensors_of(node) if value.dtype not in _dtypes()]
    if unknown:
        return f"there are no kernels for {str(unknown[0]).removeprefix('torch.')}"
    try:
        instructions = list(_instructions(program, node))
    except Exception:  # PyTorch's tracing raises all kinds; check_compiled() has the last word
        return None
    for instruction in instructions:
        try:
            emit(instruction)
        except UnsupportedOperatorError as error:
            itself = instruction.operator in (_name_of(node), f"{_name_of(node)}_copy")
            return error.why if itself else f"{instruction.operator}: {error.why}"
    return None


def _name_of(node: Node) -> str:
    name: str = node.target._schema.name  # type: ignore[union-attr]
    return name


def _tensors_of(node: Node) -> Iterator[torch.Tensor]:
    """What a call takes and gives."""
    import torch

    for each in (*node.all_input_nodes, node):
        value = each.meta.get("val")
        yield from (
            v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, torch.Tensor)
        )


def _instructions(program: ExportedProgram, node: Node) -> Iterator[Instruction]:
    """The instructions that a call becomes: out variants in core ATen, each value in memory of its own."""
    from mcu_sdk.lowering.fuse.graph import constant_value, is_constant

    graph = _decomposed(node)
    calls = [call for call in graph.graph.nodes if call.op == "call_function"]
    inputs = [call for call in graph.graph.nodes if call.op == "placeholder"]
    places = _Places()
    known: dict[Node, Any] = {}
    for given, value in zip(node.all_input_nodes, inputs, strict=True):
        constant = given.op == "placeholder" and is_constant(program, given)
        data = (
            constant_value(program, given) if constant and given.meta["val"].numel() <= MOST_KNOWN else None
        )
        known[value] = places.of(value.meta["val"], data, constant=constant)
    for call in graph.graph.nodes:
        if call.op == "get_attr":
            data = getattr(graph, str(call.target))
            known[call] = places.of(data, data, constant=True)
    for number, call in enumerate(calls):
        if call.target is operator.getitem:
            known[call] = known[call.args[0]][call.args[1]]
            continue
        results = call.meta.get("val")
        known[call] = _each(results, places.of)
        if results is not None:  # assertions give nothing
            yield _instruction(number, call, known)


def _decomposed(node: Node) -> GraphModule:
    """A call in the operators that are lowered."""
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.node import map_arg

    def again(*values: torch.Tensor) -> Any:
        given = dict(zip(node.all_input_nodes, values, strict=True))
        arguments, keywords = map_arg((node.args, node.kwargs), given.__getitem__)
        return node.target(*arguments, **keywords)  # type: ignore[operator]

    traced: GraphModule = make_fx(again, decomposition_table=_table())(
        *(given.meta["val"] for given in node.all_input_nodes)
    )
    return traced


@cache
def _table() -> dict[Any, Any]:
    """ExecuTorch's decompositions."""
    from executorch.exir.program._program import _default_decomposition_table

    table: dict[Any, Any] = _default_decomposition_table()
    return table


def _instruction(number: int, call: Node, known: dict[Node, Any]) -> Instruction:
    """A call of a functional operator as that of its out variant."""
    import torch
    from torch.fx.node import map_arg

    target: Any = call.target
    namespace, _, name = target._schema.name.partition("::")
    functional = target
    if any(each.alias_info is not None for each in target._schema.returns):  # a view
        packet = getattr(getattr(torch.ops, namespace), f"{name}_copy")
        functional = getattr(packet, target._overloadname)
    positional, keywords = map_arg((call.args, call.kwargs), known.__getitem__)
    names_of_arguments = (argument.name for argument in target._schema.arguments)
    given: dict[str, Any] = {**dict(zip(names_of_arguments, positional, strict=False)), **keywords}
    results = known[call]
    outs = results if isinstance(results, (list, tuple)) else [results]
    full_name = functional._schema.name
    if name == "_to_copy":  # edge's has no type beside its output's
        return Instruction(number, full_name, "out", (given["self"], False, None, *outs), f"#{number}")
    out, names = _out_variant(functional)
    values = [
        _plain(given.get(argument.name, _default(argument)))
        for argument in out._schema.arguments
        if argument.name not in names
    ]
    lists = len(names) == 1 and isinstance(results, (list, tuple))
    return Instruction(
        number,
        full_name,
        out._overloadname,
        (*values, *([list(outs)] if lists else outs)),
        f"#{number}",
    )


def _out_variant(functional: Any) -> tuple[Any, tuple[str, ...]]:
    """The out variant, and the names of what it writes."""
    import torch
    from executorch.exir.operator.convert import to_out_variant

    try:
        out, names = to_out_variant(functional)
    except AssertionError:  # where numbers have an operator of the name, too, as pow
        packet = getattr(torch.ops.aten, functional._schema.name.partition("::")[2])
        out = getattr(packet, f"{functional._overloadname}_out")
        names = [each.name for each in out._schema.arguments if each.is_out]
    return out, tuple(names)


def _default(argument: Any) -> Any:
    return argument.default_value if argument.has_default_value() else None


def _plain(value: Any) -> Value:
    """An argument as a .pte holds it; of types, devices and memory formats, which no emitter reads, nothing."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (Tensor, int, float, bool, str)) else None


def _each(values: Any, of: Any) -> Any:
    return [of(each) for each in values] if isinstance(values, (list, tuple)) else of(values)


class _Places:
    """Memory of its own for each value."""

    def __init__(self) -> None:
        self._end = 0

    def of(self, value: Any, data: torch.Tensor | None = None, *, constant: bool = False) -> Tensor | None:
        """A contiguous tensor of a value's type and shape; `data`: what it holds."""
        import torch

        if not isinstance(value, torch.Tensor):
            return None
        tensor = Tensor(
            _dtypes()[value.dtype],
            tuple(int(size) for size in value.shape),
            Space.MODEL if constant else Space.ARENA,
            self._end,
            data=None if data is None else data.detach().contiguous().reshape(-1).numpy().tobytes(),
        )
        self._end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        return tensor


@cache
def _dtypes() -> dict[torch.dtype, DType]:
    import torch

    return {
        torch.uint8: DType.U8,
        torch.int8: DType.S8,
        torch.int16: DType.S16,
        torch.int32: DType.S32,
        torch.int64: DType.S64,
        torch.float16: DType.F16,
        torch.float32: DType.F32,
        torch.float64: DType.F64,
        torch.bool: DType.BOOL,
    }
