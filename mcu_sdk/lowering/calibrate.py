"""Tokens to calibrate on, and the ranges that keys and values take on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.advice import ELSEWHERE
from mcu_sdk.lowering.attention_window import longest_window
from mcu_sdk.text import one_line

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule
    from transformers import PreTrainedModel

    from mcu_sdk.lowering.fuse.cached_attention import CacheRange

CALIBRATION_WINDOWS = 8
"""Sequences that are sampled or read; each is as long as the cache, at most LONGEST_WINDOW tokens."""

LONGEST_WINDOW = 256

STATIC_STEPS = 384
"""Steps that static activation scales are observed on, spread over the windows."""


def sample_windows(
    model: PreTrainedModel, length: int, seed: int = 0, count: int = CALIBRATION_WINDOWS
) -> torch.Tensor:
    """What the model itself generates: int64[count, length], sampled at temperature 1.

    Each sequence begins with the start token, or, for a model that has none, with a token drawn at random.
    """
    import torch
    from transformers import DynamicCache

    generator = torch.Generator().manual_seed(seed)
    config = model.config.get_text_config()
    start = getattr(config, "bos_token_id", None)
    vocabulary = int(config.vocab_size)
    first = torch.randint(0, vocabulary, (count, 1), generator=generator)
    if isinstance(start, int) and 0 <= start < vocabulary:
        first = torch.full_like(first, start)
    try:
        tokens, cache = first, DynamicCache(config=config)
    except Exception as error:  # a configuration that says its layers in a way of its own
        raise ModelError(
            f"A decoder whose configuration says how many layers keep keys and values was expected; that of "
            f"{type(model).__name__} does not: {one_line(str(error))[:300]}.",
            hint=ELSEWHERE,
        ) from error
    with torch.no_grad():
        while tokens.shape[1] < length:
            output = run_with_cache(model, input_ids=tokens[:, -1:], past_key_values=cache)
            if output.logits.shape[:2] != (count, 1):
                raise ModelError(
                    f"Logits for every token were expected; {type(model).__name__} gives "
                    f"{list(output.logits.shape)} for {count} sequences of one.",
                    hint=ELSEWHERE,
                )
            probabilities = torch.softmax(output.logits[:, -1].float(), -1)
            tokens = torch.cat([tokens, torch.multinomial(probabilities, 1, generator=generator)], 1)
    return tokens


def spread_windows(ids: Sequence[int], length: int, count: int = CALIBRATION_WINDOWS) -> torch.Tensor:
    """A text's token ids as windows, int64[up to `count`, length], spread over the whole of it.

    `ids`: at least `length`.
    """
    import torch

    count = min(count, len(ids) // length)
    spacing = (len(ids) - length) // max(1, count - 1) if count > 1 else 0
    return torch.tensor([ids[i * spacing : i * spacing + length] for i in range(count)])


def cache_ranges(model: PreTrainedModel, windows: torch.Tensor) -> dict[str, CacheRange]:
    """The greatest magnitude of each key and value channel on `windows` (int64[n, length]).

    Keyed by the buffer name of the layer's key cache in the static-cache wrapper; each range is
    float32[kv_heads, head_dim]. All windows run as one batch: causal attention makes that the same as token by
    token.
    """
    import torch

    from mcu_sdk.lowering.fuse.cached_attention import CacheRange

    with torch.no_grad():
        layers = cached_layers(run_with_cache(model, input_ids=windows))
    ranges = {}
    for index, layer in enumerate(layers):
        keys, values = layer.keys.float(), layer.values.float()  # [n, kv_heads, length, head_dim]
        limits = keys.amin(0), keys.amax(0)
        ranges[f"key_cache_{index}"] = CacheRange(keys.abs().amax((0, 2)), values.abs().amax((0, 2)), limits)
    return ranges


def cached_layers(output: Any) -> Sequence[Any]:
    """What each layer of a model keeps; of a class that could attend to an encoder, too, its own keys and values."""
    cache = getattr(output, "past_key_values", None)
    cache = getattr(cache, "self_attention_cache", cache)
    return getattr(cache, "layers", None) or ()


def run_with_cache(model: PreTrainedModel, **inputs: Any) -> Any:
    """The model's output on `inputs`, with what its layers keep as keys and values at all positions.

    Raises ModelError for an architecture that keeps something else, or nothing: an encoder, a state-space model.
    """
    from transformers import DynamicCache

    if (
        longest_window(model) is not None
    ):  # a cache made for the configuration would forget what has left the window
        inputs.setdefault("past_key_values", DynamicCache())
    output, reason = None, ""
    try:
        output = model(**inputs, use_cache=True)
    except Exception as error:  # whatever the architecture's code raises
        reason = f" ({type(error).__name__}: {one_line(str(error))[:300]})"
    layers = cached_layers(output)
    if layers and all(getattr(getattr(layer, "keys", None), "ndim", 0) == 4 for layer in layers):
        return output
    raise ModelError(
        f"A decoder that exports with a static cache of keys and values was expected; {type(model).__name__} "
        f"{_kept_instead(model, output)}{reason}.",
        hint=ELSEWHERE,
    )


def _kept_instead(model: PreTrainedModel, output: Any) -> str:
    """What a model keeps from token to token, in words."""
    from transformers import DynamicCache

    layers = DynamicCache(config=model.config.get_text_config()).layers
    states = sum(hasattr(layer, "recurrent_states") for layer in layers)
    if states:
        return f"keeps a state, of a recurrence or a convolution, in {states} of {len(layers)} layers"
    others = [name for name in output or () if name not in ("logits", "loss", "past_key_values")]
    return f"keeps {', '.join(others)} instead" if others else "does not keep them"


def run_steps(prepared: GraphModule, windows: torch.Tensor) -> None:
    """Run the prepared step over the windows, token by token, each from an empty cache."""
    import torch

    length = min(windows.shape[1], max(1, STATIC_STEPS // windows.shape[0]))
    for window in windows:
        for position, token in enumerate(window[:length].tolist()):
            prepared(input_ids=torch.tensor([[token]]), cache_position=torch.tensor([position]))
