"""What a decoder's .pte says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prefill_metadata(rows: int) -> dict[str, Any]:
    """The constant methods that say how many tokens a method prefill takes, by the names that ExecuTorch's runners use."""
    return {"get_min_prefill_chunk": rows, "get_max_prefill_chunk": rows}


def encoder_metadata(start: Sequence[int], padding: int | None) -> dict[str, Any]:
    """The constant methods that say which tokens a decoder behind an encoder reads before it says anything, and which one
    fills up the encoder's (None: it reads none)."""
    pad = {} if padding is None else {"get_pad_id": padding}
    return {"get_decoder_start_ids": list(start), **pad}


def llm_metadata(model: PreTrainedModel, cache_length: int, sinks: int | None = None) -> dict[str, Any]:
    """The constant methods that ExecuTorch's LLM runner asks a .pte for; of a cache that slides, how many positions stay;
    and which tokens are never chosen, or not as an answer's first, where there are such."""
    config = model.config.get_text_config()
    start = getattr(config, "bos_token_id", None)
    end = getattr(config, "eos_token_id", None)
    ends = [] if end is None else [int(e) for e in (end if isinstance(end, list) else [end])]
    vocabulary = int(config.vocab_size)
    metadata: dict[str, Any] = {
        "get_max_seq_len": cache_length,
        "get_max_context_len": cache_length,
        "get_vocab_size": vocabulary,
        "get_n_layers": int(config.num_hidden_layers),
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": False,
        "enable_dynamic_shape": False,
    }
    if sinks is not None:
        metadata["get_attention_sinks"] = sinks
    if isinstance(start, int) and 0 <= start < vocabulary:
        metadata["get_bos_id"] = start
    lists = {
        "get_eos_ids": ends,
        "get_suppressed_ids": getattr(config, "suppress_tokens", None) or [],
        "get_first_suppressed_ids": getattr(config, "begin_suppress_tokens", None) or [],
    }
    for name, ids in lists.items():
        if known := [token for token in ids if 0 <= token < vocabulary]:
            metadata[name] = known
    return metadata
