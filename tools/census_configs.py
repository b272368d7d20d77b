"""Tiny configurations of every decoder and encoder-decoder that transformers knows, for tools/census.py.

Sizes are set by the names that transformers' configurations have in common; of layers that come in kinds one of each is
kept. EXCEPTIONS has what no common name says, VARIANTS further configurations of a family.
"""

from __future__ import annotations

from typing import Any

SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "src_vocab_size", "tgt_vocab_size"), 257),
    **dict.fromkeys(("bos_token_id", "decoder_start_token_id", "cls_token_id"), 1),
    **dict.fromkeys(("eos_token_id", "sep_token_id"), 2),
    "pad_token_id": 0,
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "word_embed_proj_dim", "emb_dim"), 64
    ),
    **dict.fromkeys(("encoder_hidden_size", "decoder_hidden_size", "cross_attention_hidden_size"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size", "dff"), 96),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size", "expert_ffn_size"), 96),
    **dict.fromkeys(("shared_expert_intermediate_size", "shared_intermediate_size"), 96),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads", "attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("num_encoder_attention_heads", "num_ln_in_parallel_attn"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "kv_channels", "v_head_dim", "global_head_dim"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_length"), 64),
    **dict.fromkeys(
        ("max_sequence_length", "max_source_positions", "max_target_positions", "seq_length"), 64
    ),
    **dict.fromkeys(("sliding_window", "window_size", "attention_chunk_size", "attention_window"), 8),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "top_k", "num_selected_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 32),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim", "index_head_dim"), 8),
    **dict.fromkeys(("index_n_heads", "index_topk", "mamba_n_heads", "linear_num_key_heads"), 4),
    **dict.fromkeys(("linear_num_value_heads", "mamba_num_heads"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "mamba_head_dim", "mamba_d_head"), 32),
    **dict.fromkeys(("state_size", "mamba_d_state", "ssm_state_size"), 8),
    **dict.fromkeys(("vocab_size_per_layer_input",), 257),
    "hidden_size_per_layer_input": 16,
    "initializer_range": 0.1,
    "is_decoder": True,
}
"""What is set where a configuration has it."""

ALSO_WHERE_NONE = ("head_dim", "n_routed_experts", "n_shared_experts", "num_experts_per_tok")
"""What is set, too, where a configuration leaves it open."""

STARTED = ("t5", "longt5", "switch_transformers", "pop2piano")
"""Whose checkpoints say what the decoder begins with, and whose configurations do not by themselves."""

PAIR: dict[str, dict[str, Any]] = {
    "encoder": {"is_decoder": False},
    "decoder": {"is_decoder": True, "add_cross_attention": True},
}
"""Of two models of any kind that are put together, as EncoderDecoderModel.from_encoder_decoder_pretrained does it."""

EXCEPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"decoder_start_token_id": 0} for name in STARTED},
    **{name: {"decoder_start_token_id": 0, **PAIR} for name in ("encoder-decoder", "speech-encoder-decoder")},
    "bamba": {"attn_layer_indices": [1]},
    "blt": {"encoder_hash_byte_group_vocab": 257, "encoder_hash_byte_group_size": [3, 4]},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    },
    "cpmant": {"dim_head": 16, "dim_ff": 96},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "dots1": {"layer_types": ["full_attention", "sliding_attention"]},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_d_head": 32, "mamba_n_heads": 4},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gemma4_text": {"global_head_dim": 16},
    "gemma4_unified_text": {"global_head_dim": 16},
    "gpt_bigcode": {"num_key_value_heads": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {"linear_head_dim": 16, "linear_num_heads": 4},
    "lfm2": {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"], "full_attn_idxs": [1]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"expert_ffn_hidden_size": 96, "zero_expert_num": 2},
    "mamba2": {"expand": 2, "num_heads": 4, "head_dim": 32, "n_groups": 1},
    "ministral": {"layer_types": ["sliding_attention", "full_attention"]},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h": {"n_groups": 1},
    "nllb-moe": {"encoder_sparse_step": 2, "decoder_sparse_step": 2},
    "vibevoice_acoustic_tokenizer": {"num_filters": 4, "depths": [1] * 7},
    "vibevoice_acoustic_tokenizer_encoder": {"num_filters": 4, "depths": [1] * 7},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 32},
}
"""By name: what its sizes alone do not say; of a configuration inside it by that one's name."""

LONG = [1.0 + index / 4 for index in range(8)]

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon (ALiBi)": ("falcon", {"alibi": True}),
    "falcon (grouped queries)": ("falcon", {"new_decoder_architecture": True}),
    "gpt_bigcode (multi-head)": ("gpt_bigcode", {"multi_query": False, "num_key_value_heads": 4}),
    "llama (llama3 rope)": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            }
        },
    ),
    "phi3 (longrope)": (
        "phi3",
        {
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": LONG,
                "long_factor": LONG,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "qwen2 (window)": (
        "qwen2",
        {"use_sliding_window": True, "layer_types": ["full_attention", "sliding_attention"]},
    ),
}
"""Further rows: the family, and what its configuration changes."""


def tiny_config(name: str) -> Any:
    """A configuration of the family, or of the variant, with random weights of which a model takes no second to run."""
    from transformers import CONFIG_MAPPING

    family, changes = VARIANTS.get(name, (name, {}))
    return _tiny(CONFIG_MAPPING[family], {**EXCEPTIONS.get(family, {}), **changes})


def _tiny(kind: Any, changes: dict[str, Any]) -> Any:
    """An instance of a class of configurations with small sizes, the configurations inside it, too."""
    has = vars(kind())
    settings = {
        name: value
        for name, value in SIZES.items()
        if name in has and (has[name] is not None or name in ALSO_WHERE_NONE)
    }
    if has.get("kv_lora_rank") is not None:  # keys and values from one latent vector: every head has its own
        settings |= {
            "num_key_value_heads": SIZES["num_attention_heads"],
            "head_dim": SIZES["qk_rope_head_dim"],
        }
    settings |= _one_layer_of_each_kind(has)
    inside = tuple(getattr(kind, "sub_configs", None) or ())
    for name in inside:
        if has.get(name) is not None:
            more = changes.get(name, {})
            inner = _tiny(type(has[name]), {**EXCEPTIONS.get(has[name].model_type, {}), **more})
            settings[name] = inner.to_dict()
    changes = {name: value for name, value in changes.items() if name not in inside}
    return kind(**{**settings, **changes})


def _one_layer_of_each_kind(has: dict[str, Any]) -> dict[str, Any]:
    """Lists with an entry for each layer, cut to the first layer of each kind that there is, but to two at least."""
    counted = next((name for name in ("num_hidden_layers", "num_layers", "n_layer") if has.get(name)), None)
    if counted is None or has[counted] < 2:
        return {}
    lists = {
        name: list(value)
        for name, value in has.items()
        if isinstance(value, (list, tuple)) and len(value) == has[counted]
    }
    if not lists:
        return {}
    kinds = list(zip(*lists.values(), strict=True))
    first = [index for index, kind in enumerate(kinds) if kinds.index(kind) == index][:4]
    first = first if len(first) > 1 else [0, 1]
    cut = {name: [value[index] for index in first] for name, value in lists.items()}
    return {**cut, counted: len(first)}
