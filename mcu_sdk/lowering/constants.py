"""Computes beforehand what does not depend on a graph's inputs: masks, positions, rows of position embeddings."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Interpreter, Node
from torch.utils._pytree import tree_leaves

RANDOM = (torch.Tag.nondeterministic_seeded,)


def fold_constants(module: GraphModule) -> int:
    """Replace each maximal part that only constants feed by a buffer, in place; returns how many buffers were made.

    A single constant, and calls that return several tensors or draw random numbers, stay as they are.
    """
    known: dict[Node, torch.Tensor] = {}
    runner = Interpreter(module)
    for node in module.graph.nodes:
        if node.op == "get_attr":
            value = runner.fetch_attr(str(node.target))
        elif _depends_on_nothing_else(node, known):
            arguments, keywords = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: known[n])
            with torch.no_grad():
                value = node.target(*arguments, **keywords)
        else:
            continue
        if isinstance(value, torch.Tensor):
            known[node] = value
    count = 0
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node not in known or all(user in known for user in node.users):
            continue
        name = f"folded_constant_{count}"
        module.register_buffer(name, known[node].detach().clone().contiguous())
        with module.graph.inserting_before(node):
            constant = module.graph.get_attr(name)
        constant.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
        node.replace_all_uses_with(constant)
        count += 1
    module.graph.eliminate_dead_code()
    module.recompile()
    return count


def _depends_on_nothing_else(node: Node, known: dict[Node, torch.Tensor]) -> bool:
    tags = getattr(node.target, "tags", ())
    if node.op != "call_function" or any(tag in tags for tag in RANDOM):
        return False
    leaves = [leaf for leaf in tree_leaves((node.args, node.kwargs)) if isinstance(leaf, Node)]
    return isinstance(node.target, torch._ops.OpOverload) and all(leaf in known for leaf in leaves)
