"""Whether a decoder's cache can slide (`--when-full slide`), as far as running the model tells: asked before it is calibrated and
exported. What the exported step does is looked at afterwards (fuse/sliding.py), and compared (sliding_guard.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mcu_sdk.lowering.fuse.sliding import cannot_slide
from mcu_sdk.lowering.guard import difference, eager_attention, tolerance
from mcu_sdk.lowering.sliding_guard import no_reference, sliding_logits
from mcu_sdk.lowering.ways import takes_positions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS, LENGTH, SINKS = 6, 4, 1
"""A text, and a cache that it does not fit into."""


@torch.no_grad()
def require_distances(model: PreTrainedModel) -> None:
    """Raises ModelError for a decoder that tells where a text stands and not only how far apart its tokens are, and for one
    whose code lets nobody give it positions and attention, so that nothing could be compared beyond the end of the cache."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    tokens = torch.randint(0, vocabulary, (1, TOKENS), generator=torch.Generator().manual_seed(2))
    places = torch.arange(TOKENS)[None]
    allowed = tolerance(list(model.parameters()))
    here = _logits(model, tokens, places)
    if difference(_logits(model, tokens, places + 1), here, allowed).first is not None:
        raise cannot_slide(
            f"{type(model).__name__} computes something else where all positions are greater by one: it reads the position "
            "itself, as learned positions do"
        )
    follows = difference(_logits(model, tokens, places.flip(1)), here, allowed).first is not None
    if not follows and not takes_positions(model):
        raise no_reference(model, "it counts its positions itself")
    with eager_attention(model):
        sliding_logits(model, tokens, LENGTH, SINKS)


def _logits(model: PreTrainedModel, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """float32[1, L, V] of tokens int64[1, L] at `places`."""
    with eager_attention(model):
        try:
            logits: torch.Tensor = model(input_ids=tokens, position_ids=places, use_cache=False).logits
        except (TypeError, ValueError) as error:  # an argument that the class does not know
            raise no_reference(model, str(error)) from error
    return logits.float()
