"""How large the inputs of a model's linears are, and how they go together: what rounding their weights goes by."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Moments = dict[str, "torch.Tensor"]
"""The sums of x x^T, float64[K, K], by the digest of the weight that x is multiplied with."""


def weight_digest(weight: torch.Tensor) -> str:
    """What a weight is found by in an exported graph, which has names of its own: SHA-256 of its float32[N, K].

    N and K are in it: weights that are zero throughout may have as many bytes in another shape.
    """
    shape = ",".join(map(str, weight.shape)).encode()
    return sha256(shape + weight.detach().float().contiguous().numpy().tobytes()).hexdigest()


def head_digest(model: PreTrainedModel) -> str | None:
    """The digest of the last linear's weight, which makes logits; None for a model that does not name it."""
    head = model.get_output_embeddings()
    return None if head is None else weight_digest(_rows(head))


def _rows(module: Any) -> torch.Tensor:
    """A linear's weight with a row for each output; Conv1D keeps it the other way round."""
    weight: torch.Tensor = module.weight
    return weight.T if type(module).__name__ == "Conv1D" else weight


def linear_moments(model: PreTrainedModel, windows: torch.Tensor) -> Moments:
    """Second moments of the inputs of all linears (transformers' Conv1D too) but the head, on int64[n, length]."""
    import torch

    moments: Moments = {}
    latest: list[Any] = [None, None]  # several linears read one value, one after the other

    def observe(digest: str) -> Any:
        def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
            if latest[0] is not inputs[0]:
                x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
                latest[:] = [inputs[0], x.T @ x]
            moments[digest] = moments[digest] + latest[1] if digest in moments else latest[1]

        return hook

    head = model.get_output_embeddings()
    linears = [
        module
        for module in model.modules()
        if module is not head and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
    ]
    hooks = [module.register_forward_hook(observe(weight_digest(_rows(module)))) for module in linears]
    try:
        with torch.no_grad():
            model(input_ids=windows, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return moments
