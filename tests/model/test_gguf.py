"""A GGUF file becomes the checkpoint that it was made from; what transformers would pass over is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mcu_sdk import cli
from mcu_sdk.console import set_quiet
from mcu_sdk.errors import McuSdkError, ModelError, ToolMissingError
from mcu_sdk.model import gguf as ours
from mcu_sdk.model.chat.rendering import read_template
from mcu_sdk.model.load import find_checkpoint, load_model
from mcu_sdk.model.tokenizer import encode, load_tokenizer

gguf = pytest.importorskip("gguf")
pytest.importorskip("accelerate")

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Written down from the format's description, not taken from the package that reads it."""


def gguf_name(key: str) -> str:
    stem, kind = key.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, number, inner = stem.split(".", 3)
        return f"blk.{number}.{NAMES[inner]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp rotates pairs side by side, transformers halves: rows of queries and keys change places."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(["the year 2023 and the year 2024, 2023 or 20 23"] * 20, trainer)
    return tokenizer


Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Write:
    """`write(settings={...}, tensors={...}, kind="F32", pre="gpt-2")`: a GGUF file of the tiny Llama.

    A setting of None is left out, of the architecture unless its key has another prefix.
    """
    folder = checkpoint("llama-gqa-untied")
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    tokenizer = trained()
    count = iter(range(1000))

    def make(
        settings: dict[str, Any] | None = None,
        tensors: dict[str, torch.Tensor] | None = None,
        kind: str = "F32",
        pre: str | None = "gpt-2",
        architecture: str = "llama",
    ) -> Path:
        path = tmp_path_factory.mktemp("gguf") / f"tiny-{next(count)}.gguf"
        writer = gguf.GGUFWriter(path, architecture)
        heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        values: dict[str, Any] = {
            "block_count": config["num_hidden_layers"],
            "context_length": config["max_position_embeddings"],
            "embedding_length": config["hidden_size"],
            "feed_forward_length": config["intermediate_size"],
            "attention.head_count": heads,
            "attention.head_count_kv": kv_heads,
            "rope.freq_base": float(config["rope_parameters"]["rope_theta"]),
            "rope.dimension_count": config["head_dim"],
            "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
            "vocab_size": config["vocab_size"],
            **(settings or {}),
        }
        for key, value in values.items():
            full = key if key.split(".")[0] in ("split", "tokenizer") else f"{architecture}.{key}"
            if isinstance(value, str):
                writer.add_string(full, value)
            elif isinstance(value, float):
                writer.add_float32(full, value)
            elif value is not None:
                writer.add_uint32(full, value)
        if pre is not None:
            content = json.loads(tokenizer.to_str())["model"]
            tokens = sorted(content["vocab"], key=content["vocab"].get)
            tokens += [f"<unused{i}>" for i in range(config["vocab_size"] - len(tokens))]
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(pre)
            writer.add_token_list(tokens)
            writer.add_token_types([1] * len(tokens))
            writer.add_token_merges([" ".join(pair) for pair in content["merges"]])
            writer.add_eos_token_id(7)
        for key, weight in {**weights, **(tensors or {})}.items():
            if key.endswith("q_proj.weight"):
                weight = interleaved(weight, heads)
            elif key.endswith("k_proj.weight"):
                weight = interleaved(weight, kv_heads)
            name = key if key in (tensors or {}) else gguf_name(key)
            data = weight.float().contiguous().numpy()
            if kind == "F32" or data.ndim == 1 or data.shape[-1] % 32:
                writer.add_tensor(name, data)
            else:
                quantization = gguf.GGMLQuantizationType[kind]
                writer.add_tensor(name, gguf.quants.quantize(data, quantization), raw_dtype=quantization)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return make


def test_the_weights_are_those_of_the_checkpoint(write: Write, checkpoint: Callable[[str], Path]) -> None:
    found = find_checkpoint(str(write()))
    reference = load_file(checkpoint("llama-gqa-untied") / "model.safetensors")
    weights = load_file(found.folder / "model.safetensors")
    assert weights.keys() == reference.keys()
    for key, weight in reference.items():
        assert torch.equal(weights[key], weight.float()), key
    left = load_model(find_checkpoint(str(checkpoint("llama-gqa-untied"))))
    right = load_model(found)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(left(input_ids=ids).logits, right(input_ids=ids).logits)


def test_blocks_are_unpacked(write: Write, checkpoint: Callable[[str], Path]) -> None:
    """Q8_0: each block of 32 has a step of its greatest magnitude / 127, and no value is off by more than half of it."""
    weights = load_file(find_checkpoint(str(write(kind="Q8_0"))).folder / "model.safetensors")
    reference = load_file(checkpoint("llama-gqa-untied") / "model.safetensors")
    changed = 0
    for key, weight in reference.items():
        error = (weights[key] - weight.float()).abs()
        assert error.max() <= weight.float().abs().max() / 127 * 0.51 + 1e-3 * weight.float().abs().max(), key
        changed += int((error > 0).any())
    assert changed


def test_converted_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write()
    first = find_checkpoint(str(path))
    assert first.name == path.stem

    def never(*_: object) -> None:
        raise AssertionError("it was converted again")

    with monkeypatch.context() as patch:
        patch.setattr(ours, "_convert", never)
        assert find_checkpoint(str(path)) == first
        moved = shutil.copy(path, path.with_name("elsewhere.gguf"))
        assert find_checkpoint(str(moved)).folder == first.folder
        with pytest.raises(AssertionError, match="again"):
            find_checkpoint(str(path), use_cache=False)
    other = find_checkpoint(str(path), use_cache=False)
    assert other.folder != first.folder and other.fingerprint() == first.fingerprint()


@pytest.mark.slow
def test_generate(write: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["--quiet", "generate", "--board=host", f"--model={write()}", "--max-cache-len=16"]
    try:
        assert cli.run([*command, f"--output={tmp_path / 'out'}"]) == 0
    finally:
        set_quiet(False)
    assert capfd.readouterr().err == ""
    report = json.loads((tmp_path / "out" / "model" / "report.json").read_text())
    assert report["tokenizer"] == "on the device"
    assert "kEosIds[] = {7}" in (tmp_path / "out" / "model" / "model.h").read_text()


# ---- the tokenizer


@pytest.mark.parametrize(("pre", "alone"), [("gpt-2", False), ("smollm", True)])
def test_the_tokenizer_cuts_as_the_file_says(pre: str, alone: bool, write: Write) -> None:
    found = find_checkpoint(str(write(pre=pre)))
    tokenizer = load_tokenizer(found.folder)
    assert tokenizer is not None and found.notes == ()
    text = "the year 2023 and 20 23"
    expected = trained()
    if alone:
        expected.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    assert encode(tokenizer, text) == expected.encode(text).ids
    assert (encode(tokenizer, text) != trained().encode(text).ids) is alone


def test_a_way_of_cutting_that_nobody_knows_is_noted(write: Write) -> None:
    assert "'no-such-way'" in find_checkpoint(str(write(pre="no-such-way"))).notes[0]


def test_without_a_tokenizer(write: Write) -> None:
    assert load_tokenizer(find_checkpoint(str(write(pre=None))).folder) is None


def test_a_chat_template_goes_with_the_tokenizer(write: Write) -> None:
    folder = find_checkpoint(str(write({"tokenizer.chat_template": "{{ eos_token }}"}))).folder
    found, tokenizer = read_template(folder), load_tokenizer(folder)
    assert found is not None and tokenizer is not None
    assert found.source == "{{ eos_token }}" and found.specials == {"eos_token": tokenizer.id_to_token(7)}


def test_every_token_that_ends_a_turn_ends_the_text(write: Write) -> None:
    folder = find_checkpoint(str(write({"tokenizer.ggml.eot_token_id": 9}))).folder
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [7, 9]


# ---- what is refused


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"rope.scaling.type": "yarn"}, "rope.scaling.type = yarn"),
        ({"rope.scaling.factor": 4.0}, "rope.scaling.factor = 4.0"),
        ({"attention.key_length": 8}, "attention.key_length = 8"),
        ({"attention.sliding_window": 16}, "attention.sliding_window = 16"),
        ({"expert_count": 8}, "expert_count = 8"),
        ({"logit_scale": 0.5}, "logit_scale = 0.5"),
        ({"no.such.setting": 1}, "no.such.setting = 1"),
    ],
)
def test_settings_that_are_not_followed(settings: dict[str, Any], word: str, write: Write) -> None:
    with pytest.raises(ModelError, match="does not follow") as error:
        find_checkpoint(str(write(settings)))
    assert word in str(error.value)


def test_settings_that_change_nothing(write: Write) -> None:
    settings = {"rope.scaling.type": "none", "rope.scaling.factor": 1.0, "expert_count": 0}
    assert find_checkpoint(str(write(settings))).notes == ()


def test_tensors_that_are_not_mapped(write: Write) -> None:
    ones = {"rope_freqs.weight": torch.ones(8)}
    assert find_checkpoint(str(write(tensors=ones))).notes == ()
    for name in ("rope_freqs.weight", "blk.0.attn_v.bias", "blk.7.ffn_up.weight"):
        with pytest.raises(ModelError, match="passes over 1 tensors") as error:
            find_checkpoint(str(write(tensors={name: torch.full((8,), 2.0)})))
        assert name in str(error.value)


def test_an_architecture_that_transformers_does_not_read(write: Write) -> None:
    with pytest.raises(ModelError, match="no-such-architecture"):
        find_checkpoint(str(write(architecture="no-such-architecture")))


def test_parts(write: Write, tmp_path: Path) -> None:
    part = tmp_path / "model-00001-of-00003.gguf"
    shutil.copy(write(), part)
    for path in (part, write({"split.count": 3})):
        with pytest.raises(ModelError, match=r"one of 3 parts.*llama-gguf-split --merge"):
            find_checkpoint(str(path))


@pytest.mark.parametrize(
    "content", [b"", b"GG", b"GGUF", b"GGUF" + bytes(20), b"\x80\x02pickle", b"GGUF" + b"\xff" * 40]
)
def test_a_file_that_is_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.gguf"):
        find_checkpoint(str(path))


def test_a_file_that_is_cut_or_damaged(write: Write, tmp_path: Path) -> None:
    """At most an error of ours, and nothing is left in the cache."""
    from mcu_sdk import cache

    content = write().read_bytes()
    before = set(cache.cache_folder().iterdir())
    path = tmp_path / "model.gguf"
    for seed in range(12):
        damaged = bytearray(content)
        if seed % 2:
            damaged = damaged[: len(content) * seed // 12]
        else:
            damaged[24 + seed * 97 : 28 + seed * 97] = b"\xff\x07\xff\x01"
        path.write_bytes(damaged)
        try:
            find_checkpoint(str(path))
        except McuSdkError as error:
            assert "\n" not in str(error) and len(str(error)) < 1200
            assert set(cache.cache_folder().iterdir()) == before
        before = set(cache.cache_folder().iterdir())


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_without_the_extra(package: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ours.find_spec
    monkeypatch.setattr(ours, "find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(ToolMissingError, match=rf"{package} is not installed.*mcu-sdk\[gguf\]") as error:
        find_checkpoint(str(write()))
    assert error.value.exit_code == 4
