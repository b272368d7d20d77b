"""Attention under a mask, in the operators that `padding` and the quantizer look at one by one.

ExecuTorch decomposes scaled_dot_product_attention too, but only once widths are given; a mask of -1e30 then takes all
levels of the integers that hold the scores.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.lowering.fuse.graph import args, aten, is_call
from mcu_sdk.lowering.fuse.masks import INVISIBLE

ATTENTION = aten.scaled_dot_product_attention.default


def spell_out_masked(program: ExportedProgram) -> ExportedProgram:
    """The same program with its attention decomposed, if any of it has a mask; itself otherwise."""
    if not any(_is_masked(node) for node in program.graph.nodes):
        return program
    decomposed: ExportedProgram = program.run_decompositions({ATTENTION: _attention})
    return decomposed


def _is_masked(node: Node) -> bool:
    if not is_call(node, ATTENTION):
        return False
    given = [*args(node), *[None] * 6]
    return node.kwargs.get("attn_mask", given[3]) is not None or bool(node.kwargs.get("is_causal", given[5]))


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,  # a model in evaluation mode has none
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Query [.., H, Lq, D], key and value [.., H or groups, Lk, D] -> [.., H, Lq, D]; as PyTorch defines its operator."""
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = torch.matmul(query, key.transpose(-1, -2)) * (
        query.shape[-1] ** -0.5 if scale is None else scale
    )
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.where(attn_mask, 0.0, INVISIBLE)
        scores = scores + attn_mask
    return torch.matmul(torch.softmax(scores, -1), value)
