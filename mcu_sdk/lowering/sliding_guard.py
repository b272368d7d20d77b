"""What a checkpoint computes beyond the end of a cache that slides: the specification of `--when-full slide`, and the
comparison of a step with it.

Token p >= S sees the first `sinks` tokens and the S - sinks last ones, itself among them, at the positions 0 .. S - 1 in
this order (StreamingLLM, arXiv 2309.17453); a layer with a window below S sees its window. Keys and values are those
that were computed when the token was read. The reference is transformers' own model in one pass without a cache: for
each token beyond the end a copy of the text in the batch, with the positions that this token sees; attention takes each
token's result from the copy that has its positions, so that all copies hold the same values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.attention_window import with_windows_cut
from mcu_sdk.lowering.export import export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.fuse.experts import experts_as
from mcu_sdk.lowering.fuse.masks import HARDLY_VISIBLE
from mcu_sdk.lowering.fuse.sliding import HINT, LEARNED_SINKS, cannot_slide
from mcu_sdk.lowering.run_step import StepRunner
from mcu_sdk.lowering.ways import Way

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from transformers import PreTrainedModel

    from mcu_sdk.lowering.fuse.cached_attention import CacheRange

RING = 12
"""Positions behind the sinks in the short cache that is compared ..."""

WINDOW = 7
"""... with windows that are shorter still: laps of rings that do not divide each other."""

BEYOND_LAP = 4
"""Positions compared beyond a whole lap of that ring."""

_EAGER = "eager_attention_forward"


class SlidingTrial:
    """A copy of a decoder with a short cache that slides, and what the checkpoint computes beyond its end."""

    def __init__(self, model: PreTrainedModel, cache_length: int, sinks: int) -> None:
        self.length, self.sinks = min(cache_length, sinks + RING), sinks
        self.positions = 2 * self.length - sinks + BEYOND_LAP
        self.model = with_windows_cut(model, min(WINDOW, self.length - sinks))

    def step(self, way: Way, ranges: dict[str, CacheRange] | None) -> ExportedProgram:
        """The copy's fused step."""
        program = export_decoder(self.model, self.length, way)
        fuse(program, self.length, ranges, sinks=self.sinks)
        return program

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the checkpoint computes for tokens int64[n, L]: float32[n, L, V]."""
        return sliding_logits(self.model, tokens, self.length, self.sinks)

    def found(self, program: ExportedProgram, tokens: torch.Tensor) -> torch.Tensor:
        """What the step computes for them, with its cache in float32."""
        return StepRunner(program, float_cache=True).run(tokens)


@torch.no_grad()
def sliding_logits(model: PreTrainedModel, tokens: torch.Tensor, length: int, sinks: int) -> torch.Tensor:
    """Tokens int64[n, L] -> logits float32[n, L, V] of a model whose cache has `length` positions and slides.

    Raises ModelError for a class that does not let its positions and attention be given.
    """
    seen = _Seen(tokens.shape[1], length, sinks)
    model.set_attn_implementation("eager")
    count = len(seen.places)
    results = []
    with seen.attention_of(model), experts_as(model, "eager"):
        for window in tokens:
            try:
                logits = model(
                    input_ids=window.expand(count, -1),
                    position_ids=seen.places,
                    attention_mask=torch.ones_like(seen.places),
                    use_cache=False,
                ).logits
            except TypeError as error:
                raise no_reference(model, str(error)) from error
            results.append(logits[0].float())
    if not seen.calls:
        raise no_reference(model, "its attention is code of its own")
    return torch.stack(results)


class _Seen:
    """Which positions each token of a text of L sees, and where: `places` int64[copies, L], of which the token p reads the
    row `row_of[p]`."""

    def __init__(self, tokens: int, length: int, sinks: int) -> None:
        self._length, self._sinks = length, sinks
        at, ahead = torch.arange(tokens), torch.arange(max(1, tokens - length + 1))[:, None]
        self.places = torch.where(at < sinks, at, (at - ahead).clamp(0, length - 1))
        self.row_of = (at - (length - 1)).clamp(min=0)
        self.calls = 0

    @contextmanager
    def attention_of(self, model: PreTrainedModel) -> Iterator[None]:
        """Let the eager attention of a model's classes see so."""
        names = {type(module).__module__ for module in model.modules()}
        files = [sys.modules[name] for name in sorted(names) if hasattr(sys.modules[name], _EAGER)]
        before = [getattr(file, _EAGER) for file in files]
        for file, eager in zip(files, before, strict=True):
            setattr(file, _EAGER, self._seeing(eager))
        try:
            yield
        finally:
            for file, eager in zip(files, before, strict=True):
                setattr(file, _EAGER, eager)

    def _seeing(self, eager: Any) -> Any:
        def attend(
            module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *rest: Any, **more: Any
        ) -> Any:
            self.calls += 1
            if more.get("s_aux") is not None:
                raise cannot_slide(f"in {type(module).__name__} {LEARNED_SINKS}")
            mask = self._mask(attention_mask)
            out, weights = eager(module, query, key, value, mask, *rest, **more)
            own = out[self.row_of, torch.arange(out.shape[1])]
            return own.expand(out.shape).contiguous(), weights

        return attend

    def _mask(self, mask: torch.Tensor) -> torch.Tensor:
        """What is added to the scores, [copies, 1, L, L], with what a cache that slides has forgotten."""
        hidden = mask[0, 0] <= HARDLY_VISIBLE
        if bool(hidden[self._length - 1, 0]):
            return mask  # a window below the cache
        at = torch.arange(len(hidden))
        ring = (at <= at[:, None]) & (at > at[:, None] - (self._length - self._sinks))
        visible = torch.where(at[:, None] < self._length, at <= at[:, None], ring | (at < self._sinks))
        return torch.where(visible, 0.0, torch.finfo(mask.dtype).min).to(mask.dtype).expand(mask.shape)


def no_reference(model: PreTrainedModel, reason: str) -> ModelError:
    """The refusal of a class that nothing could be compared with."""
    return ModelError(
        "--when-full slide is compared with the checkpoint beyond the end of the cache, for which a class that takes "
        f"position_ids and transformers' attention functions was expected; {type(model).__name__} does not: {reason}.",
        hint=HINT,
    )
