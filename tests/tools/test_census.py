"""What the census of decoders is made of: tiny configurations, rows, and the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import census
import torch
from census_configs import VARIANTS, tiny_config
from census_page import is_fused, page, rows_of

from mcu_sdk.errors import ModelError


def test_sizes_are_set_by_common_names() -> None:
    llama, gpt2 = tiny_config("llama"), tiny_config("gpt2")
    assert (llama.hidden_size, llama.num_hidden_layers, llama.num_attention_heads) == (64, 2, 4)
    assert (gpt2.n_embd, gpt2.n_layer, gpt2.n_head, gpt2.n_positions) == (64, 2, 4, 64)
    assert llama.vocab_size == gpt2.vocab_size == 257


def test_a_layer_of_each_kind_is_kept() -> None:
    config = tiny_config("gemma3_text")
    assert config.layer_types == ["sliding_attention", "full_attention"]
    assert config.num_hidden_layers == 2 and config.sliding_window < census.CACHE_LENGTH


def test_configurations_inside_others_are_small_too() -> None:
    assert tiny_config("gemma3").text_config.hidden_size == 64
    pair = tiny_config("encoder-decoder")
    assert pair.encoder.hidden_size == pair.decoder.hidden_size == 64
    assert (pair.encoder.is_decoder, pair.decoder.is_decoder) == (False, True)
    assert pair.decoder.add_cross_attention and pair.decoder_start_token_id == 0


def test_a_class_gets_the_part_that_is_its_own() -> None:
    import transformers

    config = tiny_config("qwen3_5")
    assert census.part_for(transformers.Qwen3_5ForCausalLM, config) is config.text_config
    llama = tiny_config("llama")
    assert census.part_for(transformers.LlamaForCausalLM, llama) is llama


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_made(name: str) -> None:
    family, changes = VARIANTS[name]
    config = tiny_config(name)
    assert config.model_type == family
    plain = {key: value for key, value in changes.items() if not isinstance(value, dict)}
    assert {key: getattr(config, key) for key in plain} == plain


def test_all_decoders_and_encoder_decoders_are_asked() -> None:
    names = census.names()
    assert {"llama", "opt", "t5 (seq2seq)", "whisper (seq2seq)", *VARIANTS} <= set(names)
    assert names["gpt2"] == "GPT2LMHeadModel"


def test_what_stops_a_name_is_in_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object) -> Any:
        raise KeyError("inside")

    monkeypatch.setattr(census, "tiny_config", stopped)
    row = census.row_of("llama", "LlamaForCausalLM", tmp_path)
    assert (row["outcome"], row["class"]) == ("no model", "LlamaForCausalLM")
    monkeypatch.setattr(census, "_save", lambda *arguments: tmp_path)
    monkeypatch.setattr(census, "_measured", stopped)
    row = census.row_of("llama", "LlamaForCausalLM", tmp_path)
    assert row["outcome"] == "failed" and "KeyError" in row["why"]
    row = census.row_of("mixtral", "MixtralForCausalLM", tmp_path)
    assert row["outcome"] == "failed"


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("A decoder that does it was expected; Model does not: KeyError: 'a'", "failed"),
        ("The module was expected to take its example inputs; it raises KeyError: 'a'", "failed"),
        ("A module that torch.export can trace was expected; Model is none: KeyError: 'a'", "failed"),
        ("A decoder was expected; the code of Model decides by the values of tensors.", "refused"),
    ],
)
def test_an_exception_that_is_not_ours_is_no_refusal(
    message: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object) -> Any:
        raise ModelError(message, hint="None.") from KeyError("a")

    monkeypatch.setattr(census, "_save", lambda *arguments: tmp_path)
    monkeypatch.setattr(census, "_measured", stopped)
    assert census.row_of("llama", "LlamaForCausalLM", tmp_path)["outcome"] == outcome


def test_queries_are_small_where_scores_are_not_divided(tmp_path: Path) -> None:
    """As those of T5's own initialization are; others are as wide as all matrices."""
    from safetensors.torch import load_file

    weights = load_file(
        census._save("t5 (seq2seq)", "T5ForConditionalGeneration", tmp_path) / "model.safetensors"
    )
    spread = {
        kind: torch.cat(
            [value.flatten() for name, value in weights.items() if name.endswith(f"Attention.{kind}.weight")]
        )
        for kind in "qk"
    }
    assert float(spread["q"].std()) == pytest.approx(0.025, rel=0.05)
    assert float(spread["k"].std()) == pytest.approx(0.1, rel=0.05)


def test_the_page_counts_what_it_lists() -> None:
    right = {"outcome": "right", "class": "A", "calls": 40, "ours": 30, "error": 0.0312, "seconds": 8.1}
    rows = {
        "a": {**right, "left": []},
        "b": {**right, "left": ["attention"]},
        "c": {"outcome": "refused", "class": "C", "why": "Because | so.", "seconds": 1.0},
        "c (variant)": {**right, "left": []},
        "d (seq2seq)": {"outcome": "refused", "class": "D", "why": "No."},
    }
    text = page(rows)
    assert "| right: the firmware computes what transformers computes | 2 | 0 |" in text
    assert "| ... and wholly fused | 1 | 0 |" in text
    assert "| refused, with the reason below | 1 | 1 |" in text
    assert "| a | A | 40 | 75% | fused | 0.0312 | 8.1 |" in text
    assert "Because \\| so." in text
    assert is_fused(rows["a"]) and not is_fused(rows["b"]) and not is_fused(rows["c"])


def test_a_page_is_made_of_its_own_rows_again() -> None:
    text = census.PAGE.read_text()
    found, names = rows_of(text), census.names()
    assert page({name: found[name] for name in names if name in found}) == text
