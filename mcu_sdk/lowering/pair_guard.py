"""The guard of an encoder with a decoder: the decoder's step against transformers' whole model, eager, without a cache.

What the step attends to is what the encoder itself gives: so what is compared is the decoder. The encoder's program is
compared as any module is (guard.check_module), and the quantized step reads the caches that the quantized encoder wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram

from mcu_sdk.lowering.accuracy import measure
from mcu_sdk.lowering.advice import ELSEWHERE
from mcu_sdk.lowering.cross_caches import run_encoder
from mcu_sdk.lowering.encoder_decoder import MASK, Heads, attended, example_state, last_of
from mcu_sdk.lowering.guard import (
    DEFECT,
    Stage,
    check_finite_logits,
    check_steps,
    eager_attention,
    tolerance,
)
from mcu_sdk.lowering.moments import Moments, moments_of
from mcu_sdk.lowering.run_step import StepRunner

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POSITIONS = 48
"""Tokens of the decoder that are compared, at most."""

Call = tuple[torch.Tensor, ...]


@torch.no_grad()
def pair_logits(
    model: PreTrainedModel, heads: Heads, calls: Sequence[Call], tokens: torch.Tensor
) -> torch.Tensor:
    """What transformers computes for the encoder's inputs of each call and tokens int64[n, L] of the decoder:
    float32[n, L, V], no cache, eager attention. Raises ModelError when that is not finite."""
    found = []
    with eager_attention(model):
        for call, window in zip(calls, tokens, strict=True):
            given = heads.encoder.given(call)
            found.append(model(**given, decoder_input_ids=window[None], use_cache=False).logits.float())
    return check_finite_logits(torch.cat(found))


@torch.no_grad()
def sampled_tokens(
    model: PreTrainedModel, heads: Heads, calls: Sequence[Call], start: Sequence[int], length: int
) -> torch.Tensor:
    """What the decoder says to each call at temperature 1 behind its start tokens: int64[n, length], seeded."""
    generator = torch.Generator().manual_seed(0)
    windows = []
    for call in calls:
        given = dict(zip(heads.input_names, call, strict=True))
        read = attended(heads.encoder(*call)[0], given.get(MASK))
        tokens = torch.tensor([list(start)])[:, :length]
        while tokens.shape[1] < length:
            logits = model(**read, decoder_input_ids=tokens, use_cache=False).logits
            chances = torch.softmax(logits[:, -1].float(), -1)
            tokens = torch.cat([tokens, torch.multinomial(chances, 1, generator=generator)], 1)
        windows.append(tokens)
    return torch.cat(windows)


def decoder_moments(heads: Heads, calls: Sequence[Call], start: Sequence[int], length: int) -> Moments:
    """The second moments of what the decoder's linears read while it answers each call in `length` tokens, by the digests of
    their weights."""
    tokens = sampled_tokens(heads.model, heads, calls, start, length)

    def run() -> None:
        for call, window in zip(calls, tokens, strict=True):
            heads.model(**heads.encoder.given(call), decoder_input_ids=window[None], use_cache=False)

    return moments_of(heads.model, run)


@dataclass
class PairGuard:
    """Compares a decoder's step with the checkpoint. `calls`: of the encoder, with what the decoder says to each of them,
    `tokens` int64[n, L]; as many random ones are read beside them."""

    model: PreTrainedModel
    heads: Heads
    calls: Sequence[Call]
    tokens: torch.Tensor

    def __post_init__(self) -> None:
        config = self.model.config.get_text_config(decoder=True)
        random = torch.randint(
            0, int(config.vocab_size), self.tokens.shape, generator=torch.Generator().manual_seed(1)
        )
        self._tokens = torch.cat([self.tokens, random])
        self._calls = [*self.calls, *self.calls]
        self._logits = pair_logits(self.model, self.heads, self._calls, self._tokens)
        self._allowed = tolerance(list(self.model.parameters()))
        with torch.no_grad():
            self._rows = [self.heads(*call) for call in self._calls]
        self.facts: dict[str, Any] = {
            "positions": self.tokens.shape[1],
            "tolerance": float(f"{self._allowed:.1e}"),
        }

    def check(self, program: ExportedProgram, stage: Stage) -> None:
        """Raises ModelError unless the step, with caches in float32, computes what the checkpoint does."""
        columns = stage == "fused"
        states = [
            {**example_state(rows, columns=columns), **self._last(call)}
            for rows, call in zip(self._rows, self._calls, strict=True)
        ]
        runner = StepRunner(program, float_cache=stage == "fused")
        greatest = check_steps(
            lambda: runner.run(self._tokens, states),
            self._logits,
            self._allowed,
            which=f"The decoder's {stage} step",
            refused=ELSEWHERE,
            differs=DEFECT if stage == "fused" else ELSEWHERE,
        )
        self.facts[stage] = float(f"{greatest:.1e}")

    def accuracy(self, encoder: ExportedProgram, step: ExportedProgram) -> dict[str, Any]:
        """What the quantized encoder and step together are worth against the checkpoint, on what the decoder said."""
        count = len(self.calls)
        states = [{**run_encoder(encoder, call), **self._last(call)} for call in self.calls]
        found = StepRunner(step).run(self.tokens, states)
        return {
            **measure(found, self._logits[:count], logits=True).facts(),
            "positions": self.tokens.numel(),
        }

    def _last(self, call: Call) -> dict[str, torch.Tensor]:
        return last_of(dict(zip(self.heads.input_names, call, strict=True)))
