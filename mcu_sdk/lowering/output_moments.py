"""What an error of a linear's outputs costs, and how these go together: what rounding its weights goes by besides its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mcu_sdk.lowering.moments import Moments, is_linear, rows_of, weight_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST_ROWS = 1024
"""Outputs whose moments are all kept: of more, as of a large vocabulary, the diagonal."""


def output_moments(model: PreTrainedModel, windows: torch.Tensor) -> Moments:
    """The mean over the tokens of windows int64[n, L] of g g^T, float64[N, N], by the weight_digest of each linear; of more than
    MOST_ROWS outputs the diagonal, float64[N]. g is the gradient, at the linear's outputs, of log p of tokens that the model itself
    draws: the mean is Fisher's information, half of which an error costs in nats. Linears without a part in the logits are left out.
    """
    found: Moments = {}

    def observe(digest: str) -> Any:
        def hook(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            def add(gradient: torch.Tensor) -> None:
                rows = gradient.reshape(-1, gradient.shape[-1]).double()
                some = rows.T @ rows if rows.shape[1] <= MOST_ROWS else rows.square().sum(0)
                found[digest] = found.get(digest, 0) + some / windows.numel()

            if not output.requires_grad:  # of the first linear: no parameter of the model wants a gradient
                output = output.requires_grad_().clone()  # which the model may write to
            output.register_hook(add)
            return output

        return hook

    generator = torch.Generator().manual_seed(0)
    wanted = [(each, each.requires_grad) for each in model.parameters()]
    linears = [module for module in model.modules() if is_linear(module)]
    hooks = [module.register_forward_hook(observe(weight_digest(rows_of(module)))) for module in linears]
    try:
        model.requires_grad_(False)
        for window in windows:
            with torch.enable_grad():
                logits = model(input_ids=window[None], use_cache=False).logits[0]
                drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
                torch.nn.functional.cross_entropy(logits, drawn, reduction="sum").backward()
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, each in wanted:
            parameter.requires_grad_(each)
    return found
