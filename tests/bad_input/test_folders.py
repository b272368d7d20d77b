"""What lies in a checkpoint's folder beside the weights, and weights that are more than the configuration asks for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mcu_sdk.model.load import find_checkpoint, load_model
from tests.bad_input.mutations import mutated

Refused = Callable[..., str]
Copied = Callable[..., Path]

INVALID = 3
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 269060552\n"


def generate(model: Path | str, *more: str) -> list[str]:
    return ["generate", "--board", "host", "--model", str(model), "--no-cache", "--max-cache-len=16", *more]


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """Edit the folder's weights."""
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def split(folder: Path, index: bool = True) -> list[str]:
    """Replace model.safetensors by two shards and their index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    halves = [sorted(weights)[::2], sorted(weights)[1::2]]
    for name, keys in zip(names, halves, strict=True):
        save_file({key: weights[key] for key in keys}, folder / name, {"format": "pt"})
    if index:
        content = {
            "metadata": {},
            "weight_map": {k: n for n, ks in zip(names, halves, strict=True) for k in ks},
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return names


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model fails the test: what the folder alone shows is told before."""
    import mcu_sdk.model.load as load

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the checkpoint was loaded")

    monkeypatch.setattr(load, "load_model", never)
    monkeypatch.setattr(load, "load_weights", never)


# ---- files


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "merges.txt"])
def test_a_git_lfs_pointer(name: str, refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    (folder / name).write_text(POINTER)
    refused(generate(folder), INVALID, name, "git lfs pull")


@pytest.mark.parametrize("option", ["--pte", "--model", "--tokenizer"])
def test_a_git_lfs_pointer_by_name(option: str, refused: Refused, project: Path, tmp_path: Path) -> None:
    pointer = tmp_path / "file"
    pointer.write_text(POINTER)
    command = ["generate", "--board=host", f"{option}={pointer}"]
    if option == "--tokenizer":
        command.append(f"--pte={project / 'model' / 'model.pte'}")
    refused(command, INVALID, "git lfs pull")


@pytest.mark.parametrize("whole", [False, True], ids=["alone", "beside the base"])
@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter(whole: bool, file: str, refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    if not whole:
        for path in folder.iterdir():
            path.unlink()
    (folder / file).write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "owner/base"}))
    words = ["beside its base"] if whole else ["is an adapter", "no weights of its own"]
    if file.endswith("json") and not whole:
        words.append("owner/base")
    refused(generate(folder), INVALID, "adapter", "merge_and_unload", *words)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, 4 bits"),
        ({"quant_method": "gptq", "bits": 4}, "gptq, 4 bits"),
        ({"quant_method": "awq", "w_bit": 4}, "awq, 4 bits"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "compressed-tensors"),
        ({"quant_method": "torchao"}, "torchao"),
        ("packed", "of an unknown kind"),
    ],
)
def test_a_quantization_in_the_configuration(
    settings: object, found: str, refused: Refused, copied: Copied, no_torch: None
) -> None:
    refused(generate(copied({"quantization_config": settings})), INVALID, found, "unquantized original")


def test_a_quantization_of_the_text_part(refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied({"text_config": {"quantization_config": {"quant_method": "awq"}}})
    refused(generate(folder), INVALID, "awq", "unquantized original")


@pytest.mark.parametrize("file", ["quantize_config.json", "quant_config.json", "hf_quant_config.json"])
def test_a_quantization_in_a_file_of_its_own(
    file: str, refused: Refused, copied: Copied, no_torch: None
) -> None:
    folder = copied()
    (folder / file).write_text('{"bits": 4}')
    refused(generate(folder), INVALID, file, "unquantized original")


PROJECTION = "model.layers.0.self_attn.q_proj"


def packed(suffix: str, dtype: torch.dtype) -> Callable[[dict[str, torch.Tensor]], None]:
    def edit(weights: dict[str, torch.Tensor]) -> None:
        weights[f"{PROJECTION}{suffix}"] = torch.ones((4, 4)).to(dtype)

    return edit


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        (".qweight", torch.int32),
        (".scales", torch.float16),
        (".weight_packed", torch.int32),
        (".weight_scale_inv", torch.float32),
        (".SCB", torch.float32),
        (".weight.absmax", torch.uint8),
        (".weight.quant_state.bitsandbytes__nf4", torch.uint8),
        (".weight", torch.uint8),
        (".weight", torch.int8),
        (".weight", torch.float8_e4m3fn),
    ],
)
def test_weights_that_are_packed_though_the_configuration_does_not_say_so(
    suffix: str, dtype: torch.dtype, refused: Refused, copied: Copied, no_torch: None
) -> None:
    folder = change(copied(), packed(suffix, dtype))
    refused(generate(folder), INVALID, f"{PROJECTION}{suffix}", "unquantized original")


def test_a_missing_shard(refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    missing = split(folder)[1]
    (folder / missing).unlink()
    refused(generate(folder), INVALID, "1 of them are missing", missing)


def test_a_shard_that_is_cut(refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    shard = folder / split(folder)[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    refused(generate(folder), INVALID, shard.name, "could not be read")


def test_shards_without_an_index(refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    split(folder, index=False)
    refused(generate(folder), INVALID, "model.safetensors.index.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"weight_map": 3}',
        b'{"weight_map": {}}',
        b'{"weight_map": {"a": "../b"}}',
        b'{"weight_map": {"a": 3}}',
        b"\xff",
    ],
)
def test_an_index_that_is_none(content: bytes, refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    split(folder)
    (folder / "model.safetensors.index.json").write_bytes(content)
    refused(generate(folder), INVALID, "model.safetensors.index.json")


def test_one_file_and_shards(refused: Refused, copied: Copied, no_torch: None) -> None:
    """transformers would take the one file, whatever the shards hold."""
    folder = copied()
    shutil.copy(folder / "model.safetensors", folder / "kept")
    split(folder)
    (folder / "kept").rename(folder / "model.safetensors")
    refused(generate(folder), INVALID, "both model.safetensors and model.safetensors.index.json")


def test_weights_under_another_name(refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    refused(generate(folder), INVALID, "consolidated.safetensors", "transformers' layout")


def test_a_second_file_with_other_weights(refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    save_file({"bias": torch.ones(3)}, folder / "extra.safetensors")
    refused(generate(folder), INVALID, "extra.safetensors", "read by nothing")


def test_a_checkpoint_of_distributed_training(refused: Refused, copied: Copied, no_torch: None) -> None:
    folder = copied()
    shutil.copy(folder / "model.safetensors", folder / "shard-00000-model-00001-of-00001.safetensors")
    refused(generate(folder), INVALID, "distributed training")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("model.gguf", ["--model", "model.gguf"]),
        ("tf_model.h5", ["tf_model.h5"]),
        ("flax_model.msgpack", ["flax_model.msgpack"]),
        ("model.onnx", ["model.onnx"]),
    ],
)
def test_weights_of_other_libraries(
    file: str, words: list[str], refused: Refused, copied: Copied, no_torch: None
) -> None:
    folder = copied()
    (folder / "model.safetensors").rename(folder / file)
    refused(generate(folder), INVALID, *words)


def test_a_folder_of_another_format(refused: Refused, tmp_path: Path, copied: Copied) -> None:
    folder = tmp_path / "meta"
    folder.mkdir()
    (folder / "params.json").write_text("{}")
    refused(generate(folder), INVALID, "params.json", "transformers format")
    copied(name="outer/inner")
    refused(generate(tmp_path / "outer"), INVALID, "outer/inner")


@pytest.mark.parametrize("key", ["configuration_files", "transformers_weights"])
def test_a_configuration_that_points_elsewhere(
    key: str, refused: Refused, copied: Copied, no_torch: None
) -> None:
    refused(generate(copied({key: ["config.9.0.0.json"]})), INVALID, key)


@pytest.mark.parametrize(
    "name",
    ["generation_config.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"],
)
@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"\xff", b"[" * 100_000], ids=["empty", "list", "bytes", "deep"]
)
def test_a_small_file_that_is_no_json(
    name: str, content: bytes, refused: Refused, copied: Copied, no_torch: None
) -> None:
    folder = copied()
    (folder / name).write_bytes(content)
    refused(generate(folder), INVALID, name)


# ---- weights that the configuration does not know


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({"num_hidden_layers": 1}, ["9 weights", "model.layers.1."]),
        ({}, [f"{PROJECTION}.bias", "1 weights"]),
        ({}, ["model.layers.0.self_attn.q_norm.weight"]),
        ({}, ["mtp.fc.weight"]),
    ],
    ids=["layers", "bias", "norm", "head"],
)
def test_weights_that_the_configuration_does_not_know(
    settings: dict[str, Any], keys: list[str], refused: Refused, copied: Copied
) -> None:
    folder = copied(settings)
    if not settings:
        name = next(key for key in keys if "." in key)
        change(folder, lambda weights: weights.update({name: torch.ones(24)}))
    refused(generate(folder), INVALID, "does not have", *keys)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_hidden_layers": 2**40}, ["num_hidden_layers = 1,099,511,627,776"]),
        ({"hidden_size": 96}, ["other shapes", "not ["]),
        ({"vocab_size": 300}, ["model.embed_tokens.weight: [257, 72], not [300, 72]"]),
        ({"rope_parameters": {"rope_type": "spiral", "rope_theta": 1e4}}, ["spiral"]),
    ],
    ids=["layers", "hidden", "vocabulary", "rope"],
)
def test_numbers_that_the_weights_do_not_follow(
    settings: dict[str, Any], words: list[str], refused: Refused, copied: Copied
) -> None:
    refused(generate(copied(settings)), INVALID, *words)


def test_a_head_that_is_missing(refused: Refused, copied: Copied) -> None:
    """Untied, and without the second matrix: nothing is made up for it."""
    folder = copied()
    weights = load_file(folder / "model.safetensors")
    tied = "lm_head.weight" not in weights
    settings = json.loads((folder / "config.json").read_text())
    settings["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(settings))
    if not tied:
        change(folder, lambda w: w.pop("lm_head.weight"))
    refused(generate(folder), INVALID, "lacks 1", "lm_head.weight")


def test_a_configuration_of_another_model(refused: Refused, copied: Copied) -> None:
    refused(generate(copied({"model_type": "gpt_neox"})), INVALID, "config.json")


@pytest.mark.parametrize(
    "name", ["attn.bias", "attn.masked_bias", "rotary_emb.inv_freq", "position_ids", "embedding"]
)
@pytest.mark.parametrize("right", [True, False], ids=["as it should be", "with another value"])
def test_buffers_of_older_versions(
    name: str, right: bool, refused: Refused, copied: Copied, work: Path
) -> None:
    """What transformers overlooks by its name is accepted for its value."""
    folder = copied()
    settings = json.loads((folder / "config.json").read_text())
    head = settings.get("head_dim") or settings["hidden_size"] // settings["num_attention_heads"]
    theta = settings.get("rope_theta") or settings.get("rope_parameters", {}).get("rope_theta", 10000.0)

    def edit(weights: dict[str, torch.Tensor]) -> None:
        values = {
            "attn.bias": torch.ones(1, 1, 8, 8).tril(),
            "attn.masked_bias": torch.tensor(-1e9),
            "rotary_emb.inv_freq": (theta ** -(torch.arange(0, head, 2) / head)).bfloat16(),
            "position_ids": torch.arange(16)[None],
            "embedding": weights["model.embed_tokens.weight"].clone(),
        }
        value = values[name]
        if not right:
            value.view(-1)[-1] = 2
        prefix = "model." if name == "embedding" else "model.layers.0.self_attn."
        weights[f"{prefix}{name}"] = value

    change(folder, edit)
    if right:
        load_model(find_checkpoint(str(folder)))
    else:
        refused(generate(folder), INVALID, name, "does not have")


def test_a_copy_in_another_layout_is_noted(copied: Copied) -> None:
    folder = copied()
    shutil.copy(folder / "model.safetensors", folder / "model.fp16.safetensors")
    assert "model.fp16.safetensors" in find_checkpoint(str(folder)).notes[0]
    shutil.copy(folder / "model.safetensors", folder / "pytorch_model.bin")  # never read
    assert len(find_checkpoint(str(folder)).notes) == 1


@pytest.mark.parametrize("extra", ["pooler", "seq_relationship", "a head in a layer"])
def test_heads_of_an_encoder(extra: str, tmp_path: Path) -> None:
    """A BertForMaskedLM saved with the heads of its pretraining, as most BERTs are."""
    from transformers import BertConfig, BertForMaskedLM

    from mcu_sdk.errors import ModelError
    from mcu_sdk.model.encoder import load_encoder

    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert", safe_serialization=True)
    name = {
        "pooler": "bert.pooler.dense.weight",
        "seq_relationship": "cls.seq_relationship.bias",
        "a head in a layer": "bert.encoder.layer.0.pooler.weight",
    }[extra]
    value = torch.ones(2) if extra == "seq_relationship" else torch.ones(16, 16)
    change(tmp_path / "bert", lambda weights: weights.update({name: value}))
    checkpoint = find_checkpoint(str(tmp_path / "bert"))
    if extra == "a head in a layer":
        with pytest.raises(ModelError, match=r"layer\.0\.pooler"):
            load_encoder(checkpoint, "BertForMaskedLM")
    else:
        load_encoder(checkpoint, "BertForMaskedLM")


# ---- mutated configurations


@pytest.mark.parametrize("start", range(0, 60, 20))
@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_mutated_configurations(file: str, start: int, copied: Copied) -> None:
    """Whatever stands in them: refused in words, or loaded."""
    from mcu_sdk.errors import McuSdkError

    folder = copied()
    content = json.loads((folder / file).read_text())
    if file == "generation_config.json":
        content |= {"eos_token_id": [1, 2], "temperature": 0.7, "do_sample": True, "suppress_tokens": [3]}
    else:
        content |= {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}, "eos_token_id": [1]}
    outcomes = set()
    for seed in range(start, start + 20):
        (folder / file).write_text(json.dumps(mutated(content, seed)))
        try:
            load_model(find_checkpoint(str(folder)))
            outcomes.add(True)
        except McuSdkError as error:
            assert len(str(error)) < 1200 and "\n" not in str(error), seed
            outcomes.add(False)
    assert outcomes == {True, False}
