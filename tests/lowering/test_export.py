"""Models whose way to a static cache needs a word from us, and those that have none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.lowering import guard as guarding
from mcu_sdk.lowering.cached_kinds import BESIDE, INSTEAD, require_keys_and_values
from mcu_sdk.lowering.calibrate import run_with_cache
from mcu_sdk.lowering.export import ValuesError, choose_cache_length, export_decoder
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.lowering.guard import DecoderGuard

CACHE = 8
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
GATED = {"intermediate_size": 48, "num_key_value_heads": 2}
LONGROPE = {
    **GATED,
    "model_type": "phi3",
    "original_max_position_embeddings": 16,
    "rope_scaling": {
        "type": "longrope",
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [2.0, 3.0, 4.0, 5.0],
    },
}
MODELS: dict[str, dict[str, Any]] = {
    "longrope": LONGROPE,
    "dynamic": {**GATED, "model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "multi-query": {"model_type": "falcon", "multi_query": True, "parallel_attn": True, "bias": False},
}


def tiny(settings: dict[str, Any]) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(**{**SIZES, **settings})
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_the_step_is_the_checkpoint_and_the_model_is_left_as_it_was(name: str) -> None:
    model = tiny(MODELS[name])
    kinds = [getattr(module, "rope_type", None) for module in model.modules()]
    program = export_decoder(model, CACHE)
    assert [getattr(module, "rope_type", None) for module in model.modules()] == kinds
    guard = DecoderGuard(model, torch.arange(CACHE)[None] + 3, CACHE)
    guard.check_exported(program)
    fuse(program, CACHE, None)
    guard.check_fused(program, None)
    assert guard.facts["positions"] == CACHE


OTHER_WAYS: dict[str, dict[str, Any]] = {
    "keys wider than values": {
        "model_type": "minicpm3",
        "intermediate_size": 48,
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
        "head_dim": 8,
    },
    "a range of positions": {
        "model_type": "trocr",
        "d_model": 32,
        "decoder_layers": 1,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 32,
    },
}


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_what_transformers_wrapper_does_not_export_is_exported_another_way(name: str) -> None:
    settings = {
        key: value for key, value in SIZES.items() if key not in ("hidden_size", "num_attention_heads")
    }
    model = tiny(OTHER_WAYS[name] if name == "a range of positions" else {**settings, **OTHER_WAYS[name]})
    guard = DecoderGuard(model, torch.arange(CACHE)[None] + 3, CACHE)
    program = guard.faithful_step()
    fuse(program, CACHE, None)
    guard.check_fused(program, None)


@pytest.mark.parametrize("kind", [*BESIDE, *INSTEAD, "compressed_sparse_attention"])
def test_layers_that_keep_more_than_keys_and_values_are_refused_by_name(kind: str) -> None:
    config = AutoConfig.for_model(**{**SIZES, **GATED, "model_type": "llama"})
    require_keys_and_values(config, "LlamaForCausalLM")
    config.layer_types = ["full_attention", kind]
    said = "keeps a state, of a recurrence or a convolution, in 1 of 2 layers" if kind in INSTEAD else kind
    with pytest.raises(ModelError, match=f"LlamaForCausalLM .*{said}"):
        require_keys_and_values(config, "LlamaForCausalLM")


def test_a_step_that_decides_by_values_is_refused_by_name() -> None:
    model = tiny({**GATED, "model_type": "llama"})
    inner = model.forward

    def forward(*arguments: Any, **keywords: Any) -> Any:
        return inner(*arguments, **keywords) if keywords["input_ids"].sum() > 0 else None

    model.forward = forward  # type: ignore[method-assign]
    with pytest.raises(ValuesError, match="LlamaForCausalLM decides by the values of tensors"):
        export_decoder(model, CACHE)


def test_a_cache_ends_where_the_rotary_embedding_changes() -> None:
    config = AutoConfig.for_model(**{**SIZES, **LONGROPE})
    for wanted in (None, 16):
        assert choose_cache_length(config, "Phi3ForCausalLM", wanted) == 16
    with pytest.raises(UsageError, match=r"longrope.*more than 16 positions.*--max-cache-len 17") as caught:
        choose_cache_length(config, "Phi3ForCausalLM", 17)
    assert "16 at most" in str(caught.value)
    dynamic = AutoConfig.for_model(**{**SIZES, **MODELS["dynamic"]})
    assert choose_cache_length(dynamic, "LlamaForCausalLM", None) == 32


def test_what_export_took_for_granted_is_told_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny({"model_type": "falcon", "alibi": True})
    guard = DecoderGuard(model, torch.arange(CACHE)[None] + 3, CACHE)

    class Refusing:
        def __init__(self, *arguments: object, **options: object) -> None:
            pass

        def run(self, windows: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("Runtime assertion failed for expression u3 >= 24\nand more")

    monkeypatch.setattr(guarding, "StepRunner", Refusing)
    with pytest.raises(
        ModelError, match=r"every position; it refuses: Runtime assertion.*static cache"
    ) as caught:
        guard.check_exported(None)  # type: ignore[arg-type]
    assert "and more" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"model_type": "mamba", "state_size": 4},
            "keeps a state, of a recurrence or a convolution, in 1 of 1",
        ),
        ({"model_type": "rwkv", "num_hidden_layers": 2}, "keeps state instead"),
    ],
)
def test_what_is_kept_in_the_place_of_keys_and_values_is_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        run_with_cache(tiny(settings), input_ids=torch.tensor([[3]]))
