"""What quantization costs: a quantized program's outputs against the checkpoint's, in three numbers, and by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from mcu_sdk.lowering.module_path import module_path
from mcu_sdk.lowering.run_step import Observe, Observed, StepRunner


class Run(Protocol):
    """Runs a graph's first steps, or all, each node's value shown to an observer."""

    def __call__(self, observe: Observe, steps: int | None = None, /) -> None: ...


LARGEST_ERROR = 0.1
"""Relative RMS error above which the layers that contribute most are looked for."""

LEAST_AGREEMENT = 0.9
"""Top-1 agreement below which they are."""

LAYERS = 5
"""Layers that are named."""

LAYER_POSITIONS = 16
"""Positions that each layer's own error is measured over."""


@dataclass(frozen=True)
class Accuracy:
    """Of outputs against a reference.

    `relative_rms_error`: RMS of the difference / RMS of the reference. Of logits also `top1_agreement`, the share of
    positions whose most likely token is the same, and `mean_kl_divergence`, the mean of KL(reference || found) in nats.
    """

    relative_rms_error: float
    top1_agreement: float | None = None
    mean_kl_divergence: float | None = None

    @property
    def poor(self) -> bool:
        """Whether a user should be told."""
        agrees = self.top1_agreement is None or self.top1_agreement >= LEAST_AGREEMENT
        return not (self.relative_rms_error <= LARGEST_ERROR and agrees)

    def facts(self) -> dict[str, Any]:
        """Plain data of three digits; what was not measured is left out."""
        numbers = {name: float(f"{value:.3g}") for name, value in vars(self).items() if value is not None}
        return {**numbers, "poor": self.poor}


def measure(found: torch.Tensor, reference: torch.Tensor, *, logits: bool) -> Accuracy:
    """Compare float32[..., V] with the reference."""
    found, reference = found.double(), reference.double()
    error = float(((found - reference).square().mean() / reference.square().mean().clamp_min(1e-60)).sqrt())
    if not logits or reference.shape[-1] < 2:
        return Accuracy(error)
    agrees = float((found.argmax(-1) == reference.argmax(-1)).double().mean())
    ours, theirs = found.log_softmax(-1), reference.log_softmax(-1)
    return Accuracy(error, agrees, float((theirs.exp() * (theirs - ours)).sum(-1).mean()))


def layer_errors(
    fused: ExportedProgram, quantized: ExportedProgram, window: torch.Tensor
) -> dict[str, float]:
    """`errors_by_module` of a fused step in float and a quantized one, over the first tokens of the window int64[L]."""
    tokens = window[None, :LAYER_POSITIONS]

    def run_float(observe: Observe) -> None:
        StepRunner(fused, float_cache=True, observe=observe).run(tokens)

    def run_quantized(observe: Observe, steps: int | None = None) -> None:
        StepRunner(quantized, observe=observe).run(tokens[:, :steps])

    return errors_by_module(run_float, run_quantized)


def module_layer_errors(
    fused: GraphModule, quantized: GraphModule, calls: Sequence[Sequence[torch.Tensor]]
) -> dict[str, float]:
    """The same of a module's float and quantized form, over calls instead of tokens."""

    def run_float(observe: Observe) -> None:
        for call in calls:
            Observed(fused, observe).run(*call)

    def run_quantized(observe: Observe, steps: int | None = None) -> None:
        for call in calls[:steps]:
            Observed(quantized, observe).run(*call)

    with torch.no_grad():
        return errors_by_module(run_float, run_quantized)


def errors_by_module(run_float: Callable[[Observe], object], run_quantized: Run) -> dict[str, float]:
    """Each module's own relative error, the largest first, LAYERS at most: {path in the checkpoint: error}.

    `run_quantized(observe, steps)` runs the first steps of what `run_float` runs, or all. Behind every module the
    quantized graph goes on with the float one's value, so that what is measured there is that module's quantization and
    no other's.
    """
    wanted: list[dict[str, torch.Tensor]] = []

    def observe_float(node: Node, value: Any) -> Any:
        if _begins(node):
            wanted.append({})
        path = module_path(node)
        if path and _is_float(value):
            wanted[-1][path] = value
        return value

    run_float(observe_float)
    places = _last_places(run_quantized, wanted[0])
    squares: dict[str, list[float]] = {path: [0.0, 0.0] for path in places.values()}
    position = -1

    def observe_quantized(node: Node, value: Any) -> Any:
        nonlocal position
        position += _begins(node)
        path = places.get(node.name)
        if path is None:
            return value
        right = wanted[position][path].reshape(value.shape).to(value.dtype)
        squares[path][0] += float((value - right).double().square().sum())
        squares[path][1] += float(right.double().square().sum())
        return right

    run_quantized(observe_quantized)
    errors = {path: (wrong / max(whole, 1e-60)) ** 0.5 for path, (wrong, whole) in squares.items()}
    ranked = sorted(errors, key=lambda path: -errors[path])[:LAYERS]
    return {path: float(f"{errors[path]:.3g}") for path in ranked}


def _begins(node: Node) -> bool:
    """Whether a run of the graph begins here."""
    return node is next(iter(node.graph.nodes))


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _last_places(run_quantized: Run, wanted: dict[str, torch.Tensor]) -> dict[str, str]:
    """The last node of each module whose value is as large as the float step's: {name of the node: path}."""
    found: dict[str, str] = {}

    def observe(node: Node, value: Any) -> Any:
        path = module_path(node)
        if path in wanted and _is_float(value) and value.numel() == wanted[path].numel():
            found[path] = node.name
        return value

    run_quantized(observe, 1)
    return {name: path for path, name in found.items()}
