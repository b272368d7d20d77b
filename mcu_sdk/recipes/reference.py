"""The checkpoint that a project was generated from, as a reference for what its firmware computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import quiet_libraries
from mcu_sdk.errors import McuSdkError
from mcu_sdk.model.load import find_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checkpoint_reference(
    model: str | None, fingerprint: str | None, tokens: Sequence[int]
) -> NDArray[Any] | None:
    """The float logits of the checkpoint `model` (None: the bundled one) for `tokens`, float32[len(tokens), V].

    None where it is not at hand: not there, or not the one with this fingerprint.
    """
    if fingerprint is None:
        return None
    try:
        checkpoint = find_checkpoint(model)
        if checkpoint.fingerprint() != fingerprint:
            return None
        with quiet_libraries():
            import torch

            from mcu_sdk.lowering.guard import checkpoint_logits
            from mcu_sdk.model.load import load_model

            logits = checkpoint_logits(load_model(checkpoint), torch.tensor([list(tokens)]))
    except (McuSdkError, OSError):
        return None
    found: NDArray[Any] = logits[0].numpy()
    return found
