"""A text's padding on an NPU: what hides a key is one row that the processor computes, and attention under it has 16 bits.

Models add some -1e30 to the scores of tokens that do not count. No integers hold that and the scores, so it becomes as little
as still hides a key, and what is between the product that gives the scores and the one that reads their softmax is int16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import torch
from executorch.backends.arm.quantizer import EthosUQuantizer
from executorch.backends.arm.quantizer.arm_quantizer_utils import SharedQspecQuantizer
from executorch.backends.arm.quantizer.quantization_config import TOSAQuantizationConfig
from torch.export import ExportedProgram
from torch.fx import GraphModule, Interpreter, Node

from mcu_sdk.lowering.ethos_u.quantizer import INT16, Nodes
from mcu_sdk.lowering.fuse.graph import (
    add_buffer,
    args,
    aten,
    depends_only_on,
    dtype_of,
    either_order,
    is_call,
    shape_of,
)
from mcu_sdk.lowering.fuse.masks import HARDLY_VISIBLE, INVISIBLE, Mask, read_mask

ROW = "padding_row"
"""What the rows are called that are added to scores: names of nodes begin so."""

SUMS = (aten.add.Tensor, aten.add_.Tensor)
PRODUCTS = (aten.matmul.default, aten.bmm.default, aten.linear.default, aten.mm.default, aten.addmm.default)
SCALING = (aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar, aten.to.dtype)

NOTHING_LEFT = 12
"""e^-12 is 0 in 16 bits of numbers up to 1."""


def add_rows(program: ExportedProgram) -> int:
    """Let every sum of scores and a mask that follows a padding input add one row float32[1, 1, 1, L] for it (and a table, where
    the mask has one), in place; returns how many sums there are. What is not understood stays as it is."""
    rows: dict[Node, Node] = {}
    count = 0
    for node in list(program.graph.nodes):
        if not is_call(node, *SUMS) or len(shape_of(node)) != 4:
            continue
        found = next(_masks(program, node), None)
        if found is None:
            continue
        scores, mask = found
        assert mask.padding is not None
        if mask.padding not in rows:
            rows[mask.padding] = _row(program, mask.padding)
        with program.graph.inserting_before(node):
            if mask.table is not None:
                table = add_buffer(program, "attention_table", mask.table[None])
                meta = node.meta
                scores = program.graph.call_function(aten.add.Tensor, (scores, table))
                scores.meta = dict(meta)
        node.args = (scores, rows[mask.padding])
        count += 1
    if count:
        program.graph.eliminate_dead_code()
        program.graph.lint()
        program.graph_module.recompile()
    return count


def _masks(program: ExportedProgram, node: Node) -> Iterator[tuple[Node, Mask]]:
    """(the scores, the mask) of a sum."""
    for scores, mask in either_order(node):
        both = isinstance(scores, Node) and isinstance(mask, Node)
        if not both or dtype_of(mask) is not torch.float32 or shape_of(scores) != shape_of(node):
            continue
        read = read_mask(program, mask, (shape_of(node)[-2], shape_of(node)[-1]))
        if read is None or read.padding is None or scores in depends_only_on(program, (read.padding,)):
            continue  # the last: two parts of a mask are no scores
        yield scores, read


def _row(program: ExportedProgram, padding: Node) -> Node:
    """where(padding != 0, 0, INVISIBLE), behind the inputs."""
    graph = program.graph
    shown, hidden = (add_buffer(program, "attention_mask_value", torch.tensor(v)) for v in (0.0, INVISIBLE))
    first = next(node for node in graph.nodes if node.op != "placeholder")

    def call(target: Any, *arguments: Any, name: str | None = None) -> Node:
        node: Node = graph.create_node("call_function", target, arguments, {}, name=name)
        node.meta = {"val": target(*(a.meta["val"] if isinstance(a, Node) else a for a in arguments))}
        return node

    with graph.inserting_before(first):
        row = call(aten.view.default, padding, [1, 1, 1, shape_of(padding)[1]])
        return call(aten.where.self, call(aten.ne.Scalar, row, 0), shown, hidden, name=ROW)


@torch.no_grad()
def bound(graph: GraphModule, calls: Sequence[tuple[torch.Tensor, ...]]) -> float | None:
    """Let every constant that hides keys hold -(2 max |score| + 12) in place of INVISIBLE, in place: less would leave something
    of a hidden key, more would cost the scores their precision. Returns what it is; None where nothing is hidden."""
    constants = {
        str(node.target): attrgetter(str(node.target))(graph)
        for node in graph.graph.nodes
        if node.op == "get_attr"
    }
    hiding = [name for name, value in constants.items() if value.is_floating_point() and _hides(value).any()]
    shown = {
        scores
        for node in graph.graph.nodes
        if is_call(node, *SUMS)
        for mask, scores in either_order(node)
        if isinstance(mask, Node) and isinstance(scores, Node) and _is_mask(mask, hiding)
    }
    if not shown:
        return None
    watched = _Greatest(graph, shown)
    for call in calls:
        watched.run(*call)
    masked = -(2 * watched.greatest + NOTHING_LEFT)
    for name in hiding:
        owner, _, attribute = name.rpartition(".")
        value = torch.where(_hides(constants[name]), masked, constants[name])  # a new one: the caller's stays
        setattr(graph.get_submodule(owner), attribute, value)
    return masked


def _is_mask(node: Node, hiding: Sequence[str]) -> bool:
    """Whether a padding row or a constant comes in here that hides keys."""
    origin = _origin(node)
    return origin.name.startswith(ROW) or (origin.op == "get_attr" and origin.target in hiding)


def _hides(value: torch.Tensor) -> torch.Tensor:
    return value <= HARDLY_VISIBLE


class _Greatest(Interpreter):
    """The greatest magnitude that is seen of some nodes, but of what is hidden."""

    def __init__(self, graph: GraphModule, watched: set[Node]) -> None:
        super().__init__(graph)
        self.watched, self.greatest = watched, 0.0

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self.watched:
            shown = value[value > HARDLY_VISIBLE]
            self.greatest = max(self.greatest, float(shown.abs().max()) if shown.numel() else 0.0)
        return value


def widen(quantizer: EthosUQuantizer, narrow: TOSAQuantizationConfig) -> None:
    """Let a quantizer whose global configuration is `narrow`, of int8, give 16 bits to attention under a padding row."""
    wide = TOSAQuantizationConfig(INT16, INT16, narrow.weight, narrow.bias)
    ends = TOSAQuantizationConfig(INT16, narrow.output_activation, narrow.weight, narrow.bias)
    products = TOSAQuantizationConfig(narrow.input_activation, INT16, narrow.weight, narrow.bias)
    quantizer.set_node_finder(wide, Nodes(lambda node: node in _between(node.graph), "attention"))
    quantizer.set_node_finder(ends, Nodes(lambda node: node in _ends(node.graph), "its last operation"))
    quantizer.set_node_finder(products, Nodes(lambda node: node in _products(node.graph), "its scores"))


def _row_of(node: Node) -> Node | None:
    """The padding row that a sum adds."""
    return next((value for value in node.all_input_nodes if _origin(value).name.startswith(ROW)), None)


def _scores(node: Node) -> Node:
    row = _row_of(node)
    found = next(value for value in args(node)[:2] if value is not row)
    assert isinstance(found, Node)
    return found


def _origin(node: Node) -> Node:
    while _moves(node) and node.all_input_nodes and not node.name.startswith(ROW):
        node = node.all_input_nodes[0]
    return node


def _moves(node: Node) -> bool:
    return node.op == "call_function" and node.target in SharedQspecQuantizer.SHARED_QSPEC_OPS_DEFAULT


def _sums(graph: torch.fx.Graph) -> list[Node]:
    return [node for node in graph.nodes if is_call(node, *SUMS) and _row_of(node) is not None]


def _between(graph: torch.fx.Graph) -> set[Node]:
    """What is computed between a product that gives scores and the one that reads the softmax of their sum with the row."""
    found: set[Node] = set()
    pending = [user for node in _sums(graph) for user in node.users]
    while pending:  # behind the sum
        node = pending.pop()
        if node.op == "call_function" and node not in found and not is_call(node, *PRODUCTS):
            found.add(node)
            pending += node.users
    return found | _before(graph)[0] | set(_sums(graph))


def _before(graph: torch.fx.Graph) -> tuple[set[Node], set[Node]]:
    """(what is between products and the sums with the row, these products)."""
    found: set[Node] = set()
    products: set[Node] = set()
    pending = [_scores(node) for node in _sums(graph)]
    while pending:
        node = pending.pop()
        if is_call(node, *PRODUCTS):
            products.add(node)
        elif is_call(node, *SCALING, *SUMS) or _moves(node):
            found.add(node)
            pending += [value for value in node.all_input_nodes if value.op == "call_function"]
    return found, products


def _products(graph: torch.fx.Graph) -> set[Node]:
    return _before(graph)[1]


def _ends(graph: torch.fx.Graph) -> set[Node]:
    """What of that only products read."""
    between = _between(graph)
    return {node for node in between if not _moves(node) and _feeds_products(node)}


def _feeds_products(node: Node) -> bool:
    users = list(node.users)
    return bool(users) and all(
        is_call(user, *PRODUCTS) or (_moves(user) and _feeds_products(user)) for user in users
    )
