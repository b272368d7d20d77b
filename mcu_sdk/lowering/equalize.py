"""Channels of a norm's result that go further than others, divided by what makes them alike: exact in float, less lost in int8.

A norm's weight and bias are divided, and the columns of the linears behind it multiplied, by a number for each channel; what
is halfway of a channel's range is taken off the bias and goes into the linears' biases. Where a sum reads the norm, too, as
behind every block of BERT, it multiplies and adds again, to a float (channel_sum.py). Which numbers, is decided by an estimate
of what int8 loses of values and weights, as by SmoothQuant (arXiv:2211.10438), which divides ranges between both, and Outlier
Suppression+ (arXiv:2304.09145), which moves them.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.fx import GraphModule, Node

from mcu_sdk.lowering.channel_sum import CHANNEL_SUM
from mcu_sdk.lowering.channels import Channels
from mcu_sdk.lowering.equal_places import Group, target_of
from mcu_sdk.lowering.fuse.graph import args, replace
from mcu_sdk.lowering.uneven import STEPS

DEVIATIONS = 4.0
"""Standard deviations that a channel is expected to go at least: a few texts do not show how far."""

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of a channel's range: how much of it is divided off. What is divided off values makes weights uneven."""

GAIN = 0.9
"""Of the estimated loss: what it has to fall to."""

GAIN_OF_SUMS = 0.5
"""The same where a sum that is int8 then has to multiply, which takes instructions, and memory: it reads a float."""

LEAST_OF_SUMS = 8e-4
"""An estimated loss below which such a sum stays as it is: channels that are all alike, which go four deviations far and whose
weights do, lose about 3e-4, and uneven ones that cost a model its cosine were seen to lose 1e-3 to 3e-3."""

WEIGHT_STEPS = 127
"""Of the greatest magnitude of a weight's row, in int8."""


Summed = Literal["int8", "float"]


@dataclass(frozen=True)
class Factors:
    """Of each channel: value = scale * stored + middle, float64[n] each."""

    scale: torch.Tensor
    middle: torch.Tensor


def equalize(
    module: GraphModule, groups: Sequence[Group], ranges: Mapping[str, Channels], int8_sums: Collection[Node]
) -> None:
    """Rewrite the module in place; `ranges`: of all norms; `int8_sums`: what adds int8 as it is, other sums add floats. It computes
    the same in float."""
    constants = _Constants(module)
    for group in groups:
        targets = dict.fromkeys(args(linear)[1].target for linear in group.linears)
        parts = [ranges[norm.name] for norm in group.norms]
        weights = [constants.value(target) for target in targets]
        summed: Summed = "int8" if any(node in int8_sums for _, node in group.sums) else "float"
        factors = choose_factors(parts, weights, summed if group.sums else None)
        if factors is not None:
            _scale(constants, group, factors)
            for value, node in group.sums:
                _write_sum(constants, node, value, factors)
    constants.write()
    module.recompile()


# ---- the numbers


def choose_factors(
    parts: Sequence[Channels], weights: Sequence[torch.Tensor], summed: Summed | None
) -> Factors | None:
    """The factors of values with these channels, each with an int8 scale of its own, that linears with `weights` [N, n] read, and a
    sum, as int8 or in float as it is, where `summed`; None where they would not gain enough."""
    whole = Channels.joined(parts)
    known = (whole.low, whole.high, whole.variance, *weights)
    if not all(bool(torch.isfinite(each).all()) for each in known) or not bool(whole.variance.any()):
        return None
    wide = [weight.double().abs() for weight in weights]
    now = sum(_loss_as_it_is(part, wide, summed) for part in parts)
    if summed == "int8" and now < LEAST_OF_SUMS * len(parts):
        return None
    reach = reach_of(whole)
    best: Factors | None = None
    least = now * (GAIN_OF_SUMS if summed == "int8" else GAIN)
    for power in POWERS:
        factors = Factors((reach / reach.log().mean().exp()) ** power, whole.middle)
        loss = 0.0
        for part in parts:
            step = 2 * float((reach_of(part, whole.middle) / factors.scale).max()) / STEPS
            loss += _loss(part, wide, factors, step, summed is not None)
        if loss < least:
            best, least = factors, loss
    return best


def reach_of(channels: Channels, middle: torch.Tensor | None = None) -> torch.Tensor:
    """How far each channel is taken to go from its middle, or from another, float64[n]; never nothing."""
    middle = channels.middle if middle is None else middle
    seen = torch.maximum(channels.high - middle, middle - channels.low)
    seen = torch.maximum(seen, DEVIATIONS * channels.variance.sqrt())
    return seen.clamp_min(1e-4 * float(seen.max())).clamp_min(1e-30)


def _loss_as_it_is(channels: Channels, weights: Sequence[torch.Tensor], summed: Summed | None) -> float:
    """Of a value at one scale, with a zero point."""
    ones, zeros = torch.ones_like(channels.low), torch.zeros_like(channels.low)
    span = channels.high.max().clamp_min(0) - channels.low.min().clamp_max(0)
    return _loss(channels, weights, Factors(ones, zeros), float(span) / STEPS, summed == "int8")


def _loss(
    channels: Channels, weights: Sequence[torch.Tensor], factors: Factors, step: float, summed: bool
) -> float:
    """What int8 loses: squared errors over variances, of the linears' results in the mean, and in a sum of the value's channels in
    the mean, each of which the norm behind the sum may weigh as it likes.

    Rounding to a step is off by step^2 / 12 in the mean square. `weights`: magnitudes. What a linear gives is taken to vary as if
    channels had nothing to do with each other.
    """
    noise = (factors.scale * step) ** 2 / 12
    squares = (channels.variance + (channels.mean - factors.middle) ** 2) / factors.scale**2
    shares = []
    for weight in weights:
        columns = weight.square().sum(0)
        rows = (weight * factors.scale).amax(1) / WEIGHT_STEPS
        lost = (noise * columns).sum() + rows.square().sum() / 12 * squares.sum()
        shares.append(float(lost / (channels.variance * columns).sum().clamp_min(1e-60)))
    whole = sum(shares) / max(len(shares), 1)
    return whole + (float((noise / (channels.variance + noise)).mean()) if summed else 0.0)


# ---- rewriting


class _Constants:
    """The weights and biases of a module by their paths, and what they become."""

    def __init__(self, module: GraphModule) -> None:
        self.module = module
        self._changed: dict[str, torch.Tensor] = {}

    def value(self, target: str) -> torch.Tensor:
        """As it is by now."""
        if target in self._changed:
            return self._changed[target]
        value: torch.Tensor = operator.attrgetter(target)(self.module)
        return value.detach()

    def of(self, node: Node) -> tuple[torch.Tensor, torch.Tensor | float]:
        """The weight of a norm or a linear and its bias, 0 where it has none, float64."""
        weight, bias = target_of(node, 1), target_of(node, 2)
        assert weight is not None
        return self.value(weight).double(), 0.0 if bias is None else self.value(bias).double()

    def change(self, nodes: Sequence[Node], weight: torch.Tensor, bias: torch.Tensor) -> None:
        """What norms or linears that share a weight have from now on; linears without a bias are given one."""
        first, second = (target_of(nodes[0], place) for place in (1, 2))
        assert first is not None
        self._changed[first] = weight
        if second is not None:
            self._changed[second] = bias
            return
        name = self.add(f"{nodes[0].name}_bias", bias)
        for node in nodes:
            node.args = (*args(node)[:2], self.read(node, name))

    def add(self, name: str, value: torch.Tensor) -> str:
        """The path of a new buffer, float32."""
        unique = self._free(name)
        self.module.register_buffer(unique, value.float())
        return unique

    def read(self, place: Node, name: str) -> Node:
        """A node before `place` that reads a buffer."""
        with place.graph.inserting_before(place):
            node: Node = place.graph.get_attr(name)
        if "val" in place.meta:
            node.meta["val"] = place.meta["val"].new_empty(operator.attrgetter(name)(self.module).shape)
        return node

    def write(self) -> None:
        """Let the graph read what has changed."""
        names = {}
        for target, value in self._changed.items():
            names[target] = self._free(target.replace(".", "_") + "_equal")
            self.module.register_buffer(names[target], value.float())
        for node in self.module.graph.nodes:
            if node.op == "get_attr" and node.target in names:
                node.target = names[str(node.target)]
        self._changed = {}

    def _free(self, name: str) -> str:
        unique, count = name, 1
        while hasattr(self.module, unique):
            unique, count = f"{name}_{count}", count + 1
        return unique


def _by_weight(nodes: Iterable[Node]) -> list[list[Node]]:
    """Those that share one together."""
    found: dict[str | None, list[Node]] = {}
    for node in nodes:
        found.setdefault(target_of(node, 1), []).append(node)
    return list(found.values())


def _scale(constants: _Constants, group: Group, factors: Factors) -> None:
    """Norms give (value - middle) / scale, and the linears behind them take it."""
    for norms in _by_weight(group.norms):
        weight, bias = constants.of(norms[0])
        constants.change(norms, weight / factors.scale, (bias - factors.middle) / factors.scale)
    for linears in _by_weight(group.linears):
        weight, bias = constants.of(linears[0])
        constants.change(linears, weight * factors.scale, bias + weight @ factors.middle)


def _write_sum(constants: _Constants, node: Node, value: Node, factors: Factors) -> None:
    """The sum of a `value` that is stored at `factors` from now on, and another one."""
    first, second = args(node)[:2]
    paths = [
        constants.add(f"{node.name}_scale", factors.scale),
        constants.add(f"{node.name}_offset", factors.middle),
    ]
    added = second if first is value else first
    vectors = [constants.read(node, path) for path in paths]
    replace(node.graph, node, CHANNEL_SUM, (added, value, *vectors))
    node.graph.erase_node(node)
