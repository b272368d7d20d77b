"""Channels of norms get scales of their own: the same in float, and less lost in int8."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

import mcu_sdk.lowering.equalize as equalize_module
from mcu_sdk import compile_module
from mcu_sdk.lowering.channel_sum import CHANNEL_SUM
from mcu_sdk.lowering.channels import Channels, channel_ranges
from mcu_sdk.lowering.equal_places import find_groups
from mcu_sdk.lowering.equalize import DEVIATIONS, choose_factors, equalize, reach_of
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.graph import is_call
from mcu_sdk.lowering.sequence_s8 import sums_before_norms
from mcu_sdk.planning.pte.read import read_pte

CHANNELS = 16


def calls() -> list[tuple[torch.Tensor]]:
    return [(torch.randn((1, 8, CHANNELS), generator=torch.Generator().manual_seed(i)),) for i in range(4)]


def with_outliers(module: nn.Module) -> nn.Module:
    """As trained encoders have them: the first norm has a channel with a large weight and one far from zero, and norms behind sums
    with it make them as small as the others. Norms with shared weights have them all: what they share is scaled alike."""
    first, *others = (part for part in module.modules() if isinstance(part, nn.LayerNorm))
    alike = isinstance(module, Post) and module.shared
    for norm in (first, *others) if alike else (first,):
        norm.weight.data[3] *= 12
        norm.bias.data[5] -= 8
    for norm in () if alike else others:
        norm.weight.data[[3, 5]] /= 12
    return module.eval()


class Post(nn.Module):
    """Blocks as BERT has them, with norms behind sums; `shared`: one block's weights twice, as in ALBERT."""

    def __init__(self, shared: bool = False, outlier: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = shared
        self.first, self.last = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, 3)
        self.before = nn.LayerNorm(CHANNELS)
        self.ups = nn.ModuleList(nn.Linear(CHANNELS, 24, bias=False) for _ in range(2))
        self.downs = nn.ModuleList(nn.Linear(24, CHANNELS) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(2))
        self.blocks = (0, 0) if shared else (0, 1)
        for down in self.downs:
            down.weight.data[7] *= outlier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(self.first(x))
        for block in self.blocks:
            x = self.norms[block](x + self.downs[block](torch.tanh(self.ups[block](x))))
        return self.last(x[:, 0])


class Pre(nn.Module):
    """A norm that linears alone read."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.one, self.two = (
            nn.LayerNorm(CHANNELS),
            nn.Linear(CHANNELS, 8),
            nn.Linear(CHANNELS, 8),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        return self.one(x).reshape(1, 8, 8) + self.two(x.view(8, CHANNELS)).reshape(1, 8, 8)


class ReadOtherwise(Pre):
    """The same, whose norm is an output as well."""

    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x), self.norm(x)


class Tied(Pre):
    """A linear behind the norm reads something else, too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(self.norm(x)) + self.one(x)


def equalized(module: nn.Module) -> tuple[GraphModule, GraphModule]:
    """The fused module in float, as it came and equalized."""
    program = torch.export.export(module, calls()[0], strict=False).run_decompositions({})
    fuse(program, None, None)
    before, graph = (program.module(check_guards=False) for _ in range(2))
    assert isinstance(before, GraphModule) and isinstance(graph, GraphModule)

    def calibrate(observed: Any) -> None:
        for call in calls():
            observed(*call)

    groups = find_groups(graph)
    norms = [norm for group in groups for norm in group.norms]
    equalize(graph, groups, channel_ranges(graph, norms, calibrate), sums_before_norms(graph))
    return before, graph


@pytest.mark.parametrize(
    ("module", "sums"),
    [(Post(), 1), (Post(shared=True), 2), (Post(outlier=100.0), 2), (Pre(), 0)],
    ids=["post", "shared", "outlier", "pre"],
)
def test_it_is_the_same_in_float(module: nn.Module, sums: int) -> None:
    before, after = equalized(with_outliers(module))
    for call in calls():
        with torch.no_grad():
            found, wanted = after(*call), before(*call)
        # Each of some ten steps rounds to 2^-24 of values up to 40 times as large as the result's.
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    names = {name for name, _ in after.named_buffers()}
    assert any(name.endswith("_equal") for name in names)
    assert sum(is_call(node, CHANNEL_SUM) for node in after.graph.nodes) == sums
    spreads = [values.abs().amax((0, 1)) for values in _norm_values(after)]
    assert any(float(spread.max() / spread.median()) < 4 for spread in spreads)


def _norm_values(module: GraphModule) -> list[torch.Tensor]:
    """What norms in front of int8 linears give for the first call."""
    norms = [node for node in module.graph.nodes if "layer_norm" in str(node.target)]
    ranges = channel_ranges(module, norms, lambda observed: observed(*calls()[0]))
    return [ranges[node.name].magnitude[None, None] for node in norms]


def test_shared_weights_stay_shared() -> None:
    _, after = equalized(with_outliers(Post(shared=True)))
    read = Counter(str(node.target) for node in after.graph.nodes if node.op == "get_attr")
    assert len([name for name in read if name.startswith("ups") and name.endswith("_equal")]) == 1


@pytest.mark.parametrize("kind", [ReadOtherwise, Tied])
def test_what_is_read_otherwise_stays_as_it_is(kind: type[nn.Module]) -> None:
    _, after = equalized(with_outliers(kind()))
    assert not [name for name, _ in after.named_buffers() if name.endswith("_equal")]


def test_even_channels_stay_as_they_are() -> None:
    _, after = equalized(Post().eval())
    assert not any(is_call(node, CHANNEL_SUM) for node in after.graph.nodes)


def quantized(module: nn.Module) -> tuple[Counter[str], float]:
    """How many operators of each kind there are, and the RMS error."""
    made = compile_module(module, calls()[0], calibration=calls())
    counts = Counter(instruction.operator for instruction in read_pte(made.pte).instructions)
    return counts, made.facts["accuracy"]["relative_rms_error"]


@pytest.mark.parametrize("module", [Post(), Pre()], ids=["post", "pre"])
def test_int8_loses_less(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, error = quantized(with_outliers(module))
    assert bool(counts["mcu::add_channels_s8_"]) == isinstance(module, Post)
    monkeypatch.setattr("mcu_sdk.lowering.quantize.equalize", lambda *given: None)
    counts, plain = quantized(module)
    assert not counts["mcu::add_channels_s8_"] and error < 0.6 * plain


# ---- the numbers


def channels_of(spread: torch.Tensor, mean: float = 0.0) -> Channels:
    wide = spread.double()
    return Channels(mean - 3 * wide, mean + 3 * wide, torch.full_like(wide, mean), wide.square())


def test_factors() -> None:
    weight = torch.randn(24, CHANNELS, generator=torch.Generator().manual_seed(0))
    spread = torch.ones(CHANNELS)
    assert choose_factors([channels_of(spread)], [weight], "int8") is None
    spread[3] = 50.0
    channels = channels_of(spread)
    summed, read = (choose_factors([channels], [weight], summed) for summed in ("int8", None))
    assert summed is not None and read is not None
    assert float(summed.scale[3] / summed.scale[0]) > 5 and summed.middle.abs().max() == 0
    # What is divided off values makes weights uneven: linears alone want less of it.
    assert float(read.scale[3] / read.scale[0]) <= float(summed.scale[3] / summed.scale[0])


def test_a_sum_does_not_multiply_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read a float, of four bytes each: of a BERT with random weights there was nothing to gain but less than a
    thousandth of what varies."""
    weight = torch.randn(24, CHANNELS, generator=torch.Generator().manual_seed(0))
    spread = torch.ones(CHANNELS)
    spread[3] = 3.0
    parts = [channels_of(spread)]
    assert choose_factors(parts, [weight], "int8") is None
    monkeypatch.setattr(equalize_module, "LEAST_OF_SUMS", 0.0)
    assert choose_factors(parts, [weight], "int8") is not None


def test_values_that_share_weights_are_judged_at_scales_of_their_own() -> None:
    """Two that are even, one ten times as large: nothing to gain, though together they look otherwise."""
    weight = torch.ones(4, CHANNELS)
    parts = [channels_of(torch.ones(CHANNELS) * size) for size in (1.0, 10.0)]
    assert choose_factors(parts, [weight], None) is None


def test_what_is_far_from_zero_is_moved() -> None:
    channels = channels_of(torch.ones(CHANNELS), mean=40.0)
    factors = choose_factors([channels], [torch.ones(4, CHANNELS)], None)
    assert factors is not None and torch.equal(factors.middle, channels.mean)


@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_nothing_is_made_of_what_is_not_finite(broken: float) -> None:
    spread = torch.ones(CHANNELS)
    spread[2] = broken
    assert choose_factors([channels_of(spread)], [torch.ones(4, CHANNELS)], None) is None
    assert choose_factors([channels_of(torch.zeros(CHANNELS))], [torch.ones(4, CHANNELS)], "int8") is None


def test_a_channel_goes_as_far_as_it_was_seen_or_some_deviations() -> None:
    spread = torch.tensor([1.0, 2.0, 0.0])
    wanted = torch.tensor([1.0, 2.0, 2e-4], dtype=torch.float64) * DEVIATIONS
    torch.testing.assert_close(reach_of(channels_of(spread)), wanted)
    seen = Channels(*(torch.tensor([value]).double() for value in (-20.0, 30.0, 0.0, 1.0)))
    assert reach_of(seen) == 25 and seen.middle == 5 and seen.magnitude == 30


def test_ranges_of_calls_are_those_of_all_rows() -> None:
    torch.manual_seed(0)
    program = torch.export.export(nn.Linear(CHANNELS, 5), calls()[0], strict=False)
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    (linear,) = (node for node in module.graph.nodes if "linear" in str(node.target))
    found = channel_ranges(module, [linear], lambda observed: [observed(*call) for call in calls()])
    rows = torch.cat([module(*call)[0] for call in calls()]).detach().double()
    ranges = found[linear.name]
    assert torch.equal(ranges.low, rows.amin(0)) and torch.equal(ranges.high, rows.amax(0))
    torch.testing.assert_close(ranges.mean, rows.mean(0))
    torch.testing.assert_close(ranges.variance, rows.var(0, correction=0))
    parts = [
        channel_ranges(module, [linear], lambda observed, call=call: observed(*call)) for call in calls()
    ]
    joined = Channels.joined([part[linear.name] for part in parts])
    for one, other in zip(chain(vars(joined).values()), vars(ranges).values(), strict=True):
        torch.testing.assert_close(one, other)
