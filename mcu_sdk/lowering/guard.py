"""The guard: what a checkpoint computes, against what each step of its lowering computes, position by position.

The reference is transformers' own model with eager attention and no cache: all positions in one pass. Against it stand
the exported step and the fused one, token by token, in float32; neither may differ by more than the order of float32
additions explains (`tolerance`). The tokens are the calibration windows' and random ones, beyond the longest window
that the model's attention has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.utils._pytree import tree_leaves

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.accuracy import layer_errors, measure, module_layer_errors
from mcu_sdk.lowering.advice import ELSEWHERE
from mcu_sdk.lowering.attention_window import longest_window, with_windows_cut
from mcu_sdk.lowering.export import ArchitectureError, ValuesError, export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.experts import experts_as
from mcu_sdk.lowering.memoryless import without_memory
from mcu_sdk.lowering.run_step import StepRunner
from mcu_sdk.lowering.sliding_guard import SlidingTrial
from mcu_sdk.lowering.ways import WAYS, Way

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule
    from transformers import PreTrainedModel

    from mcu_sdk.lowering.ethos_u.compile import QuantizedStep
    from mcu_sdk.lowering.fuse.cached_attention import CacheRange

Stage = Literal["exported", "fused", "portable"]

POSITIONS = 64
"""Positions that a model without a window is compared over."""

BEYOND = 16
"""Positions compared beyond the longest window."""

LONGEST = 48
"""A window longer than this is compared in a copy of the model ..."""

CUT = 16
"""... whose windows are this long: the same code makes the mask, and a few steps are past it."""

CUT_CACHE = 48
"""Positions in that copy's cache."""

MEASURED = 2
"""Calibration windows that the quantized step's error is measured on."""

CALLS = 4
"""Calls that a module is compared on."""

DEFECT = "That is a defect in mcu-sdk's fusion; please report it with the model."

UNIT_ROUNDOFF = 2.0**-24
"""Of float32."""

ALLOWANCE = 16
"""Times the expected difference that is still explained; the greatest that was measured is 0.6 (docs/verification.md)."""


def tolerance(parameters: Sequence[torch.Tensor]) -> float:
    """The greatest difference, as a share of the greatest output, that two orders of the same additions explain.

    Each of n additions rounds by at most u = 2^-24 of what has been summed; errors of either sign add up like a random
    walk, so two orders of one sum differ by about u sqrt(n) of it. D products in a row, each with errors of its own,
    make that u sqrt(n D). n is the longest side of a weight matrix, D the number of matrices. ALLOWANCE covers what a
    model amplifies.
    """
    sides = [max(p.shape) for p in parameters if p.dim() > 1] or [1]
    return ALLOWANCE * UNIT_ROUNDOFF * math.sqrt(max(sides) * len(sides))


@dataclass(frozen=True)
class Difference:
    """The greatest difference as a share of the reference's greatest value, and where the tolerance is first exceeded."""

    greatest: float
    first: int | None


def difference(found: torch.Tensor, reference: torch.Tensor, allowed: float) -> Difference:
    """Compare float32[n, L, ...] with the reference; `first` is an index along L. What is not finite differs by inf."""
    scale = float(reference.abs().max()) or 1.0
    apart = ((found - reference).abs() / scale).nan_to_num(torch.inf, torch.inf)
    apart = torch.where(torch.isfinite(found) == torch.isfinite(reference), apart, torch.inf)
    by_position = apart.transpose(0, 1).flatten(1).amax(1)
    beyond = torch.nonzero(by_position > allowed).flatten()
    return Difference(float(by_position.max()), int(beyond[0]) if len(beyond) else None)


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model compute attention in plain PyTorch, where its class can: what its authors wrote it as."""
    before = model.config._attn_implementation
    if before != "eager":
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        if before != "eager":
            model.set_attn_implementation(before)


@torch.no_grad()
def checkpoint_logits(model: PreTrainedModel, windows: torch.Tensor) -> torch.Tensor:
    """What transformers computes for tokens int64[n, L]: float32[n, L, V], no cache, eager attention.

    Raises ModelError when that is not finite.
    """
    with eager_attention(model), experts_as(model, "eager"):
        logits: torch.Tensor = model(input_ids=windows, use_cache=False).logits.float()
    return check_finite_logits(logits)


class _Trial:
    """A model, tokens to read, and what it makes of them."""

    def __init__(self, model: PreTrainedModel, tokens: torch.Tensor) -> None:
        self.model, self.tokens = model, tokens
        self.logits = checkpoint_logits(model, tokens)
        self.tolerance = tolerance(list(model.parameters()))

    def compare(self, program: ExportedProgram, stage: Stage, cache_length: int) -> float:
        """The greatest difference of the program's logits. Raises ModelError for one that rounding does not explain."""
        runner, likely = (
            StepRunner(program, float_cache=stage == "fused"),
            _likely(self.model, stage, cache_length),
        )
        return check_steps(
            lambda: runner.run(self.tokens),
            self.logits,
            self.tolerance,
            which=f"The {stage} step",
            refused=likely,
            differs=likely,
        )


def check_steps(
    run: Callable[[], torch.Tensor],
    expected: torch.Tensor,
    allowed: float,
    *,
    which: str,
    refused: str,
    differs: str,
) -> float:
    """The greatest difference of a step's logits from the checkpoint's, float32[n, L, V]. `refused`, `differs`: what to try
    where it does not run, or computes something else. Raises ModelError for both."""
    try:
        found = run()
    except RuntimeError as error:  # torch.export keeps what it took for granted as assertions
        raise ModelError(
            f"{which} was expected to run for every position; it refuses: "
            f"{(str(error).strip().splitlines() or [type(error).__name__])[0][:300]}",
            hint=refused,
        ) from error
    apart = difference(found, expected, allowed)
    if apart.first is not None:
        raise ModelError(
            f"{which} was expected to compute what the checkpoint computes; from position {apart.first} on its logits "
            f"differ, by up to {apart.greatest:.2g} of the greatest one (rounding explains {allowed:.1g}).",
            hint=differs,
        )
    return apart.greatest


def check_finite_logits(logits: torch.Tensor) -> torch.Tensor:
    """The same. Raises ModelError for a checkpoint's that are not finite."""
    if not torch.isfinite(logits).all():
        raise ModelError(
            "Finite logits were expected of the checkpoint in float32; it gives infinities or NaNs.",
            hint="Its weights may be damaged, or out of float32's range.",
        )
    return logits


def check_module(
    expected: Callable[..., Any],
    found: Callable[..., Any],
    calls: Sequence[Sequence[torch.Tensor]],
    stage: Stage,
) -> float:
    """Compare a module's results on the first calls with those of its exported or fused form.

    Returns the greatest difference, as a share of the greatest value of an output. Raises ModelError for one that
    rounding does not explain, naming the output.
    """
    allowed = (
        tolerance(list(expected.parameters())) if isinstance(expected, torch.nn.Module) else ALLOWANCE * 2e-7
    )
    greatest = 0.0
    for rights, lefts in _outputs_of_both(expected, found, calls):
        for index, (right, left) in enumerate(zip(rights, lefts, strict=True)):
            apart = difference(left.double()[None, None], right.double()[None, None], allowed)
            greatest = max(greatest, apart.greatest)
            if apart.first is not None:
                raise ModelError(
                    f"The {stage} module was expected to compute what the module computes; output {index} differs by up "
                    f"to {apart.greatest:.2g} of its greatest value (rounding explains {allowed:.1g}).",
                    hint="Something in forward() that torch.export freezes is the likely cause: a random number, a Python "
                    "value that changes from call to call."
                    if stage == "exported"
                    else DEFECT,
                )
    return greatest


def _outputs_of_both(
    expected: Callable[..., Any], found: Callable[..., Any], calls: Sequence[Sequence[torch.Tensor]]
) -> list[tuple[list[torch.Tensor], list[torch.Tensor]]]:
    """Of the first calls, one module after the other: they may share what they remember."""
    sides = []
    for module in (expected, found):
        with without_memory(module):
            sides.append([outputs_of(module, call) for call in calls[:CALLS]])
    return list(zip(*sides, strict=True))


@torch.no_grad()
def outputs_of(module: Callable[..., Any], call: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors among a module's results, in order."""
    return [value for value in tree_leaves(module(*call)) if isinstance(value, torch.Tensor)]


def module_accuracy(
    expected: Callable[..., Any],
    found: Callable[..., Any],
    calls: Sequence[Sequence[torch.Tensor]],
    *,
    logits: bool,
    graphs: tuple[GraphModule, GraphModule] | None = None,
    graph_calls: Sequence[Sequence[torch.Tensor]] | None = None,
) -> dict[str, Any]:
    """What a quantized module's float outputs are worth against the module's, on the first calls.

    `logits`: the first output is some, of which the most likely class is compared too. `graphs`: the float and the
    quantized graph; where the numbers are poor, `layers` then names the modules whose quantization changes most.
    `graph_calls`: what these graphs take, where that is not what the module takes.
    """
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for rights, lefts in _outputs_of_both(expected, found, calls):
        pairs += zip(lefts, rights, strict=True)
    floats = [(left, right) for left, right in pairs if right.is_floating_point() and right.numel()]
    if not floats:
        return {}
    if logits and len({right.shape[-1] for _, right in floats}) == 1:
        ours, theirs = (torch.cat([pair[i].flatten(0, -2) for pair in floats]) for i in (0, 1))
    else:
        ours, theirs = (torch.cat([pair[i].flatten() for pair in floats]) for i in (0, 1))
    accuracy = measure(ours, theirs, logits=logits)
    if not accuracy.poor or graphs is None:
        return accuracy.facts()
    return {**accuracy.facts(), "layers": module_layer_errors(*graphs, (graph_calls or calls)[:CALLS])}


class DecoderGuard:
    """Compares a decoder's exported and fused step with its checkpoint.

    `windows`: calibration tokens int64[n, L], of which the first window is read, and as many random ones beside it.
    `sinks`: of a cache that slides when it is full; what happens there is compared in a copy of the model with a short one.
    """

    def __init__(
        self, model: PreTrainedModel, windows: torch.Tensor, cache_length: int, sinks: int | None = None
    ) -> None:
        self.model, self.cache_length, self.sinks = model, cache_length, sinks
        self._windows, self._way = windows, WAYS[0]
        window = longest_window(model)
        within = window is None or window > LONGEST or window >= cache_length
        self.positions = min(cache_length, POSITIONS if within else (window or 0) + BEYOND)
        self.calibration = windows[:MEASURED, : self.positions]
        self._trial = _Trial(model, _tokens(model, windows, self.positions))
        self._cut: tuple[_Trial, ExportedProgram] | None = None
        self._trial_of_cut: _Trial | None = None
        if window is not None and LONGEST < window < cache_length:
            self._trial_of_cut = _Trial(with_windows_cut(model, CUT), _tokens(model, windows, CUT + BEYOND))
        self.facts: dict[str, Any] = {"positions": self.positions, "tolerance": _short(self._trial.tolerance)}

    @property
    def cut_positions(self) -> int:
        """Positions that are compared in a copy with shorter windows; 0 where none was needed."""
        return self._trial_of_cut.tokens.shape[1] if self._trial_of_cut is not None else 0

    def faithful_step(self) -> ExportedProgram:
        """The exported step by the first way on which it computes what the checkpoint does.

        Raises ModelError where there is none: what is in the way of a step that computes something else, or what kept
        the class from being exported.
        """
        differs: ModelError | None = None
        fails: ModelError | None = None
        for way in WAYS:
            try:
                program = export_decoder(self.model, self.cache_length, way)
            except ModelError as error:
                if isinstance(error, ArchitectureError):
                    raise
                fails = error if fails is None or isinstance(error, ValuesError) else fails
                continue
            try:
                self.check_exported(program, way)
            except ModelError as error:
                differs = differs or error
            else:
                self._way = way
                return program
        raise differs or fails or AssertionError("there are ways")

    def check_exported(self, program: ExportedProgram, way: Way = WAYS[0]) -> None:
        """Raises ModelError unless the exported step computes what the checkpoint does. `way`: how it was exported."""
        if self._trial_of_cut is not None:
            trial = self._trial_of_cut
            self._cut = (trial, export_decoder(trial.model, min(self.cache_length, CUT_CACHE), way))
        self._check(program, "exported")

    def check_fused(self, program: ExportedProgram, ranges: dict[str, CacheRange] | None) -> None:
        """Raises ModelError unless the fused step, with its cache in float32, computes what the checkpoint does."""

        def fused(step: ExportedProgram, length: int) -> None:
            fuse(step, length, ranges)

        self.check_rewritten(program, fused, "fused")
        if self.sinks is not None:
            self.facts["sliding"] = _short(self._check_sliding(self.sinks, ranges))

    def check_rewritten(
        self, program: ExportedProgram, rewrite: Callable[[ExportedProgram, int], object], stage: Stage
    ) -> None:
        """Raises ModelError unless a step computes what the checkpoint does that `rewrite(step, cache length)` made of the
        exported one, in place; the step of a copy with shorter windows is then rewritten as well."""
        if self._cut is not None:
            rewrite(self._cut[1], min(self.cache_length, CUT_CACHE))
        self._check(program, stage)

    def _check_sliding(self, sinks: int, ranges: dict[str, CacheRange] | None) -> float:
        """The greatest difference beyond the end of a cache. Raises ModelError for one that rounding does not explain."""
        trial = SlidingTrial(self.model, self.cache_length, sinks)
        tokens = _tokens(self.model, self._windows, trial.positions)
        allowed = tolerance(list(self.model.parameters()))
        apart = difference(trial.found(trial.step(self._way, ranges), tokens), trial.logits(tokens), allowed)
        if apart.first is not None:
            raise ModelError(
                f"A step whose cache of {trial.length} positions slides was expected to compute what the checkpoint computes "
                f"for {sinks} sinks and the last positions; from position {apart.first} on its logits differ, by up to "
                f"{apart.greatest:.2g} of the greatest one (rounding explains {allowed:.1g}).",
                hint=DEFECT,
            )
        return apart.greatest

    def accuracy(self, fused: ExportedProgram, quantized: ExportedProgram) -> dict[str, Any]:
        """What the quantized step's logits are worth against the checkpoint's, on the first calibration windows.

        Where that is poor, `layers` names the modules whose quantization changes their output most.
        """
        tokens = self.calibration
        found = measure(StepRunner(quantized).run(tokens), checkpoint_logits(self.model, tokens), logits=True)
        layers = {"layers": layer_errors(fused, quantized, tokens[0])} if found.poor else {}
        return {**found.facts(), "positions": tokens.numel(), **layers}

    def npu_accuracy(self, quantized: QuantizedStep) -> dict[str, Any]:
        """As `accuracy`, of an NPU's step with the NPU's integers, on the first calibration window."""
        from mcu_sdk.lowering.ethos_u.score import logits_of, npu_layer_errors

        tokens = self.calibration[0]
        found = measure(
            logits_of(quantized, tokens)[None], checkpoint_logits(self.model, tokens[None]), logits=True
        )
        layers = {"layers": npu_layer_errors(quantized, tokens)} if found.poor else {}
        return {**found.facts(), "positions": tokens.numel(), **layers}

    def _check(self, program: ExportedProgram, stage: Stage) -> None:
        found = self._trial.compare(program, stage, self.cache_length)
        if self._cut is not None:
            trial, cut = self._cut
            found = max(found, trial.compare(cut, stage, self.cache_length))
        self.facts[stage] = _short(found)


def _tokens(model: PreTrainedModel, windows: torch.Tensor, length: int) -> torch.Tensor:
    """The first calibration window and one of random ids, int64[2, length]; a short window is repeated."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    generator = torch.Generator().manual_seed(1)
    random = torch.randint(0, vocabulary, (1, length), generator=generator)
    read = windows[0].repeat(-(-length // windows.shape[1]))[None, :length]
    return torch.cat([read, random])


def _short(value: float) -> float:
    """Two digits: the rest of a rounding error depends on the machine."""
    return float(f"{value:.1e}")


def _likely(model: PreTrainedModel, stage: Stage, cache_length: int) -> str:
    """What is probably wrong, and what to try."""
    name = type(model).__name__
    window = longest_window(model)
    if window is not None and window < cache_length:
        return (
            f"Layers of {name} look back {window} positions, a window shorter than the cache, which probably does not "
            f"go together with a static cache in transformers: give --max-cache-len {window} at most."
        )
    if stage == "exported":
        return f"transformers' {name} probably does not support a static cache. {ELSEWHERE}"
    return DEFECT
