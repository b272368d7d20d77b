"""Where each planned tensor lies: a memory-planning algorithm for ExecuTorch's own entry point.

Memory 1 is the arena of activations, memory 2 holds what lives from step to step (the KV cache), so that a board can
place the two in different memories.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from executorch.exir.tensor import TensorSpec
    from torch.export.graph_signature import ExportGraphSignature
    from torch.fx import GraphModule

ARENA = 1
KV_CACHE = 2
SHUFFLES = 200
"""Random orders that are tried when no sorted order reaches the lower bound; a few milliseconds each at most."""
EXACT_BLOCKS = 7
"""Plans of so few blocks are the smallest that there are: 5,040 orders, a fifth of a second at most."""


@dataclass(frozen=True)
class Block:
    """`size` bytes that must exist from instruction `first` to `last`, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        """Whether both exist at the same time."""
        return self.first <= other.last and other.first <= self.last


def lower_bound(blocks: Sequence[Block]) -> int:
    """The largest sum of sizes that exist at one time: no plan can take less."""
    starts = {block.first for block in blocks}
    return max((sum(b.size for b in blocks if b.first <= t <= b.last) for t in starts), default=0)


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """An offset for each block, such that no two that meet overlap, and the total size.

    Each block goes to the lowest gap that takes it; that is tried in several orders (by size, by time and size, by
    life span, then shuffles from a fixed seed) until one reaches the lower bound; the best is kept. Up to
    EXACT_BLOCKS blocks every order is tried: none can do better.
    """
    best, best_size = _place_in_some_orders(blocks)
    if len(blocks) > EXACT_BLOCKS or best_size <= lower_bound(blocks):
        return best, best_size
    # In a plan of the least size, let every block sink as far as it can: placing the blocks by their offsets then, each
    # into the lowest gap, gives no larger one. So one of the orders is as good as any plan.
    for order in permutations(range(len(blocks))):
        offsets, size = _first_fit(blocks, order)
        if size < best_size:
            best, best_size = offsets, size
    return best, best_size


def _place_in_some_orders(blocks: Sequence[Block]) -> tuple[list[int], int]:
    indices = range(len(blocks))
    orders = [
        sorted(indices, key=lambda i: (-blocks[i].size, blocks[i].first)),
        sorted(indices, key=lambda i: (-(blocks[i].last - blocks[i].first), -blocks[i].size)),
        sorted(indices, key=lambda i: (-blocks[i].size * (blocks[i].last - blocks[i].first + 1), i)),
        sorted(indices, key=lambda i: (blocks[i].first, -blocks[i].size)),
    ]
    bound = lower_bound(blocks)
    best, best_size = _first_fit(blocks, orders[0])
    shuffler = random.Random(0)
    for attempt in range(1, len(orders) + SHUFFLES):
        if best_size <= bound:
            break
        if attempt < len(orders):
            order = orders[attempt]
        else:
            order = list(orders[attempt % len(orders)])
            for _ in range(3):
                a, b = shuffler.randrange(len(order)), shuffler.randrange(len(order))
                order[a], order[b] = order[b], order[a]
        offsets, size = _first_fit(blocks, order)
        if size < best_size:
            best, best_size = offsets, size
    return best, best_size


def _first_fit(blocks: Sequence[Block], order: Sequence[int]) -> tuple[list[int], int]:
    offsets = [0] * len(blocks)
    placed: list[int] = []
    total = 0
    for index in order:
        block = blocks[index]
        taken = sorted((offsets[i], offsets[i] + blocks[i].size) for i in placed if blocks[i].meets(block))
        offset = 0
        for begin, end in taken:
            if begin - offset >= block.size:
                break
            offset = max(offset, end)
        offsets[index] = offset
        placed.append(index)
        total = max(total, offset + block.size)
    return offsets, total


def plan_memory(
    alignment: int,
    specs: Sequence[TensorSpec],
    graph_module: GraphModule,
    graph_signature: ExportGraphSignature,
    extra_padding: int,
) -> list[int]:
    """The callable for `MemoryPlanningPass(memory_planning_algo=...)`: sets each spec's memory, offset and object.

    Returns the sizes in bytes of memories 0 (constants, unused), 1 and, where there are mutable buffers, 2.
    """
    mutable = _mutable_buffer_specs(graph_module, graph_signature)
    _refresh_output_specs(graph_module)
    _refresh_view_bases(graph_module)
    _keep_what_is_updated(graph_module, mutable)
    referred = _specs_in_use(graph_module)
    sizes = [0, 0]
    for memory in (ARENA, KV_CACHE):
        chosen = [s for s in specs if (id(s) in mutable) == (memory == KV_CACHE) and id(s) in referred]
        if not chosen:
            continue
        for spec in chosen:
            spec.realign(alignment)
        offsets, size = place([_block(spec) for spec in chosen])
        for index, (spec, offset) in enumerate(zip(chosen, offsets, strict=True)):
            spec.mem_id, spec.mem_offset, spec.mem_obj_id = memory, offset, index
        while len(sizes) <= memory:
            sizes.append(0)
        sizes[memory] = size + extra_padding
    return sizes


def _block(spec: TensorSpec) -> Block:
    first, last = spec.lifetime
    return Block(spec.allocated_memory, first or 0, last or 0)


def _mutable_buffer_specs(graph_module: GraphModule, signature: ExportGraphSignature) -> set[int]:
    buffers = set(signature.buffers_to_mutate.values())
    return {
        id(node.meta["spec"])
        for node in graph_module.graph.nodes
        if node.op == "placeholder" and signature.inputs_to_buffers.get(node.name) in buffers
    }


def _refresh_output_specs(graph_module: GraphModule) -> None:
    """In-place writes leave the output node with the specs of copies that no longer exist; take its arguments'."""
    output = graph_module.graph.output_node()
    old = output.meta["spec"]
    arguments: Any = output.args[0]
    output.meta["spec"] = type(old)(
        argument.meta["spec"] if hasattr(argument, "meta") else spec
        for argument, spec in zip(arguments, old, strict=True)
    )


def _keep_what_is_updated(graph_module: GraphModule, mutable: set[int]) -> None:
    """A value lives until its last reader. ExecuTorch does not count those that read it from an in-place write, whose
    spec is the value's; buffers that live from step to step (`mutable`) are planned apart."""
    for place, node in enumerate(graph_module.graph.nodes):
        for source in node.all_input_nodes:
            spec = source.meta.get("spec")
            for one in spec if isinstance(spec, (list, tuple)) else (spec,):
                if one is None or id(one) in mutable or not hasattr(one, "lifetime"):
                    continue
                first, last = one.lifetime
                if last is not None and last < place:
                    one.lifetime = [first, place]


def _refresh_view_bases(graph_module: GraphModule) -> None:
    """ExecuTorch gives an in-place write the spec of the buffer it writes to, after views took the write's own as base.

    Without this a view of a cache that was written, as unfused attention has, would get no memory.
    """
    from executorch.exir import memory

    for node in graph_module.graph.nodes:
        if node.op == "call_function" and node.target is memory.view:
            base = node.args[0].meta["spec"]
            if node.meta["spec"]._base is not base:
                node.meta["spec"]._base = base


def _specs_in_use(graph_module: GraphModule) -> set[int]:
    used = set()
    for node in graph_module.graph.nodes:
        spec = node.meta.get("spec")
        for one in spec if isinstance(spec, (list, tuple)) else (spec,):
            used.add(id(one))
    return used
