"""Weights of few levels in a step for the NPU: int8 as any, whose integers are -7 .. 7, or so.

The step gets the weights that the integers mean, before anything is observed; the observers of these weights then get the
scales, so that quantization finds the integers again.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

import torch
from torch.fx import GraphModule, Node

from mcu_sdk.lowering.ethos_u.quantizer import WEIGHT
from mcu_sdk.lowering.ethos_u.step import NpuStep
from mcu_sdk.lowering.gptq import INT8, Grouped, dequantize_groups
from mcu_sdk.lowering.moments import weight_digest

Scales = dict[str, torch.Tensor]
"""Of each row of a weight, float32[N], by the weight_digest of the weight that the integers mean."""


def round_weights(step: NpuStep, rounded: Mapping[str, Grouped]) -> Scales:
    """Give the step's linears the weights that their integers mean, in place. `rounded`: integers and a scale for each row of
    some of them, by weight_digest of the float weights; all of these have to be there."""
    scales: Scales = {}
    found = set()
    for name, weight in step.linear_weights().items():
        digest = weight_digest(weight)
        if digest not in rounded:
            continue
        values, rows = rounded[digest]
        meant = dequantize_groups(values, rows, INT8)
        setattr(step, name, meant)
        scales[weight_digest(meant)] = rows.float().flatten()
        found.add(digest)
    assert found == set(rounded), "each weight that was rounded is one of the step's linears'"
    return scales


def set_scales(prepared: GraphModule, scales: Scales) -> None:
    """Let the weights' observers of a graph prepared for quantization have seen such a range that the scales come out."""
    found = set()
    for node in prepared.graph.nodes:
        weight = node.args[0] if node.op == "call_module" else None
        if not isinstance(weight, Node) or weight.op != "get_attr":
            continue
        constant = attrgetter(str(weight.target))(prepared)
        digest = weight_digest(constant) if constant.dim() == 2 else ""
        if digest in scales:
            observer = prepared.get_submodule(str(node.target))
            greatest = scales[digest] * WEIGHT.quant_max
            observer.min_val, observer.max_val = -greatest, greatest
            found.add(digest)
    assert found == set(scales), "each weight that was rounded has an observer"
