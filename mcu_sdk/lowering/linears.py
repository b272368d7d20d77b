"""The linears of a model by their weights: what they read, and what the model computes with other weights in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mcu_sdk.lowering.moments import is_linear, is_turned, rows_of, weight_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _Enough(Exception):
    """All that is asked for was read."""


class Linears:
    """Those with the given digests. A linear gets a parameter of its own: a head that shares the embedding's leaves that as it
    is. `floats`: the weights float32[N, K] of the model as it came, by weight_digest.
    """

    def __init__(self, model: PreTrainedModel, digests: Collection[str]) -> None:
        self.model = model
        self.floats: dict[str, torch.Tensor] = {}
        self._digest_of: dict[Any, str] = {}
        self._before: list[tuple[Any, Any]] = []
        for module in model.modules():
            if is_linear(module) and (digest := weight_digest(rows_of(module))) in digests:
                self._digest_of[module] = digest
                self._before.append((module, module.weight))
                self.floats[digest] = rows_of(module).detach()

    def use(self, digest: str, rows: torch.Tensor) -> None:
        """Give linears other weights float32[N, K]."""
        for module, found in self._digest_of.items():
            if found == digest:
                weight = rows.T.contiguous() if is_turned(module) else rows
                module.weight = torch.nn.Parameter(weight, requires_grad=False)

    @contextmanager
    def as_it_came(self) -> Iterator[None]:
        """The model's own weights for a while; what was used before comes back."""
        now = [(module, module.weight) for module in self._digest_of]
        self.restore()
        try:
            yield
        finally:
            for module, weight in now:
                module.weight = weight

    def restore(self) -> None:
        """Give the model its own weights back."""
        for module, weight in self._before:
            module.weight = weight

    def read(
        self, digests: Collection[str], tokens: torch.Tensor, calls: int | None = None
    ) -> list[tuple[str, torch.Tensor]]:
        """What linears read of int64[n, L], call by call: digests, and inputs [..., K]. `calls`: how many there are, where that
        is known: the model computes nothing behind the last."""
        found: list[tuple[str, torch.Tensor]] = []

        def observe(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            found.append((self._digest_of[module], inputs[0]))
            if len(found) == calls:
                raise _Enough

        modules = [module for module, digest in self._digest_of.items() if digest in digests]
        hooks = [module.register_forward_pre_hook(observe) for module in modules]
        try:
            with torch.no_grad():
                self.model(input_ids=tokens, use_cache=False)
        except _Enough:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        return found

    @torch.no_grad()
    def probabilities(self, tokens: torch.Tensor) -> torch.Tensor:
        """Their logarithms, float64[n, L, V], of tokens int64[n, L]."""
        rows = [self.model(input_ids=row[None], use_cache=False).logits for row in tokens]
        return torch.cat(rows).double().log_softmax(-1)
