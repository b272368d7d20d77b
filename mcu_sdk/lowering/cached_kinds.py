"""What a decoder keeps from token to token, told from its configuration: refused by name before anything is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.advice import ELSEWHERE

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

BESIDE = {
    "hybrid": "the state of a recurrence or a convolution",
    "hybrid_sliding": "the state of a recurrence or a convolution",
    "indexed_attention": "an index of them",
}
"""What types of layers keep beside keys and values."""


INSTEAD = ("conv", "linear_attention")
"""Types of layers that keep no keys and values at all, but a state."""


def require_keys_and_values(config: PreTrainedConfig, name: str) -> None:
    """Raises ModelError for a decoder, a class `name` with this configuration, whose layers keep more than keys and values or
    something else, or are of a type that a static cache does not know."""
    from transformers.cache_utils import STATIC_LAYER_TYPE_MAPPING

    kinds = [str(kind) for kind in getattr(config.get_text_config(), "layer_types", None) or ()]
    states = sum(kind in INSTEAD for kind in kinds)
    reason = ""
    for kind in kinds:
        if kind in BESIDE:
            reason = (
                f"keeps {BESIDE[kind]} beside them in {kinds.count(kind)} of {len(kinds)} layers ({kind})"
            )
        elif kind not in STATIC_LAYER_TYPE_MAPPING:
            reason = f"has layers of type {kind}, for which transformers has no static cache"
    if states and not reason:
        raise ModelError(
            f"A decoder that exports with a static cache of keys and values was expected; {name} keeps a state, of a recurrence or "
            f"a convolution, in {states} of {len(kinds)} layers.",
            hint=ELSEWHERE,
        )
    if reason:
        raise ModelError(
            f"A decoder whose layers keep keys and values was expected; {name} {reason}.", hint=ELSEWHERE
        )
