"""How large the inputs of a model's linears are, and how they go together: what rounding their weights goes by."""

from __future__ import annotations

from collections.abc import Callable
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
    return None if head is None else weight_digest(rows_of(head))


def shares_head(model: PreTrainedModel) -> bool:
    """Whether the last linear reads the embedding's weights, or the model does not name either."""
    head: Any = model.get_output_embeddings()
    table: Any = model.get_input_embeddings()
    return head is None or table is None or head.weight.data_ptr() == table.weight.data_ptr()


def is_linear(module: Any) -> bool:
    """Whether it is a linear of PyTorch's, or transformers' Conv1D."""
    import torch

    return isinstance(module, torch.nn.Linear) or is_turned(module)


def is_turned(module: Any) -> bool:
    """Whether it is a Conv1D, whose weight has a column for each output."""
    return type(module).__name__ == "Conv1D"


def rows_of(module: Any) -> torch.Tensor:
    """A linear's weight with a row for each output."""
    weight: torch.Tensor = module.weight
    return weight.T if is_turned(module) else weight


def linear_moments(model: PreTrainedModel, windows: torch.Tensor, *, head: bool = False) -> Moments:
    """`moments_of` what the model computes of int64[n, length]."""
    return moments_of(model, lambda: model(input_ids=windows, use_cache=False), head=head)


def moments_of(model: PreTrainedModel, run: Callable[[], object], *, head: bool = False) -> Moments:
    """Second moments of the inputs of all linears (transformers' Conv1D too), with `head` of the last one too, while `run`
    lets the model compute."""
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

    last = None if head else model.get_output_embeddings()
    linears = [module for module in model.modules() if module is not last and is_linear(module)]
    hooks = [module.register_forward_hook(observe(weight_digest(rows_of(module)))) for module in linears]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return moments
