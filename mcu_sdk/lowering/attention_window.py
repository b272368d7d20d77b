"""Attention windows: how far back a decoder's configuration lets its layers look, and the same model with a shorter one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SETTINGS = ("sliding_window", "window_size", "attention_chunk_size", "sliding_window_size")
"""What transformers' decoders call the length of a window, in positions."""

WINDOWED = ("sliding", "local", "chunked")
"""How the types of layers that have a window begin."""


def window_settings(config: Any) -> dict[str, int]:
    """The settings of a decoder's configuration that shorten what some layer sees, with their positions."""
    if getattr(config, "use_sliding_window", True) is False:
        return {}
    types = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None)
    if types and not any(str(kind).startswith(WINDOWED) for kind in types):
        return {}
    found = {name: getattr(config, name, None) for name in SETTINGS}
    return {name: value for name, value in found.items() if isinstance(value, int) and value > 0}


def longest_window(model: PreTrainedModel) -> int | None:
    """Positions of the longest window, the token itself among them; None for a model whose layers see everything."""
    return max(window_settings(model.config.get_text_config()).values(), default=None)


def require_whole_view(model: PreTrainedModel, cache_length: int, accelerator: str) -> None:
    """Raises ModelError for a window shorter than the cache: a step on the NPU sees all positions in every layer."""
    window = longest_window(model)
    if window is not None and window < cache_length:
        raise ModelError(
            f"Layers of {type(model).__name__} look back {window} positions, fewer than the cache's {cache_length}; on "
            f"{accelerator} every layer sees the whole cache.",
            hint=f"Give --max-cache-len {window} at most, or take the board's processor as --target.",
        )


def with_windows_cut(model: PreTrainedModel, length: int) -> PreTrainedModel:
    """A copy of the model whose windows are at most `length` positions; it shares the parameters."""
    config = copy.deepcopy(model.config)
    text = config.get_text_config()
    for name, value in window_settings(text).items():
        setattr(text, name, min(value, length))
    cut: PreTrainedModel = type(model)._from_config(
        config, attn_implementation=model.config._attn_implementation
    )
    shared = {name: parameter.detach() for name, parameter in model.named_parameters()}
    cut.load_state_dict(shared, strict=False, assign=True)
    cut.tie_weights()
    cut.eval()
    return cut
