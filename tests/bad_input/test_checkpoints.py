"""Checkpoints that are none, are incomplete, are not to be trusted, or cannot be exported."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.errors import ModelError
from mcu_sdk.model.encoder import task_of

Refused = Callable[..., str]
Copied = Callable[..., Path]

INVALID, USAGE = 3, 2


def generate(model: Path | str, *more: str) -> list[str]:
    """Without the cache: a checkpoint that is spoiled must not be read from it."""
    return ["generate", "--board", "host", "--model", str(model), "--no-cache", *more]


# ---- which checkpoint


@pytest.mark.parametrize(
    "name",
    [
        "mcu-sdk-tests/there-is-no-such-model",
        "no-such-model",
        "./no/such/folder",
        "../nothing",
        "",
        " ",
        "$(touch owned)",
        "a/b/c",
        "https://example.com/model",
        "name\nwith a line end",
        "nul\0byte",
        "x" * 5000,
    ],
)
def test_an_unknown_model(name: str, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline: nothing is asked of the network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused(generate(name), INVALID)


def test_a_model_that_is_a_file(refused: Refused, tmp_path: Path) -> None:
    file = tmp_path / "model.pte"
    file.write_bytes(b"x")
    refused(generate(file), INVALID, "--pte")


def test_a_folder_without_a_configuration(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(generate(tmp_path / "empty"), INVALID, "config.json", "save_pretrained")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"model_type": 3}',
        b'{"model_type": "no-such-architecture"}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
    ids=["empty", "cut", "list", "null", "no type", "number", "unknown", "no UTF-8", "deep"],
)
def test_a_configuration_that_is_none(content: bytes, refused: Refused, copied: Copied) -> None:
    folder = copied()
    (folder / "config.json").write_bytes(content)
    refused(generate(folder), INVALID)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": -8},
        {"hidden_size": "large"},
        {"num_attention_heads": 0},
        {"num_hidden_layers": None},
        {"vocab_size": 100},
        {"num_hidden_layers": 3},
        {"hidden_act": "no-such-function"},
        {"num_key_value_heads": 3},
    ],
    ids=lambda change: "-".join(f"{key}={value}" for key, value in change.items()),
)
def test_a_configuration_that_its_weights_do_not_follow(
    change: dict[str, object], refused: Refused, copied: Copied
) -> None:
    refused(generate(copied(change), "--max-cache-len", "16"), INVALID)


# ---- weights


def without_weights(folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    return folder


def test_no_weights(refused: Refused, copied: Copied) -> None:
    refused(generate(without_weights(copied())), INVALID, "safetensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "weights.pkl"])
def test_pickled_weights_are_never_read(name: str, refused: Refused, copied: Copied, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return open, (str(tmp_path / "owned"),)

    folder = without_weights(copied())
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    refused(generate(folder), INVALID, name, "pickled", "safe_serialization")


def test_a_broken_safetensors_beside_pickled_weights(refused: Refused, copied: Copied) -> None:
    folder = copied()
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    refused(generate(folder), INVALID)


@pytest.mark.parametrize("where", ["config.json", "auto_map with code"])
def test_code_of_the_checkpoint_is_never_run(
    where: str, refused: Refused, copied: Copied, tmp_path: Path
) -> None:
    folder = copied({"auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}})
    if where != "config.json":
        (folder / "modeling_own.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n")
    refused(generate(folder), INVALID, "auto_map", "never run")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_that_are_not_finite(value: str, refused: Refused, copied: Copied) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied()
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = float(value)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused(generate(folder), INVALID, "layers.1.mlp.up_proj", "infinities or NaNs")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, 0.999])
def test_truncated_weights(kept: float, refused: Refused, copied: Copied) -> None:
    file = copied() / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    refused(generate(file.parent), INVALID, "could not be read")


def test_weights_that_lack_a_tensor(refused: Refused, copied: Copied) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied()
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    refused(generate(folder), INVALID, "model.norm.weight", "lacks 1")


def test_an_index_that_names_files_elsewhere(refused: Refused, copied: Copied) -> None:
    folder = without_weights(copied())
    (folder / "other.safetensors").write_bytes(b"")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": "../../../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(generate(folder), INVALID)


# ---- architectures


def small_bert(name: str, folder: Path, **settings: object) -> Path:
    import transformers
    from transformers import BertConfig

    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        **settings,
    )
    getattr(transformers, name)(config).save_pretrained(folder, safe_serialization=True)
    return folder


def test_a_decoder_that_has_no_static_cache(refused: Refused, tmp_path: Path) -> None:
    folder = small_bert("BertLMHeadModel", tmp_path / "bert")
    refused(generate(folder, "--max-cache-len", "16"), INVALID, "Bert")


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "WhisperForConditionalGeneration"])
def test_an_encoder_with_a_decoder_is_refused_as_what_it_is(name: str) -> None:
    with pytest.raises(ModelError, match=f"model is a {name}, an encoder with a decoder"):
        task_of(name, "model")


@pytest.mark.parametrize(
    ("code", "name", "more", "words"),
    [
        (INVALID, "BertForMultipleChoice", [], ["BertForMultipleChoice", "another one", "compile_module"]),
        (USAGE, "BertModel", ["--max-cache-len=33"], ["1 to 32 tokens", "33"]),
        (USAGE, "BertModel", ["--max-cache-len=0"], ["from 1 up"]),
        (USAGE, "BertModel", ["--weights=int4"], ["--weights is for a decoder's checkpoint", "an encoder's"]),
        (USAGE, "BertModel", ["--activations=dynamic"], ["--activations is for"]),
        (INVALID, "BertModel", ["--calibration-text=text"], ["tokenizer"]),
    ],
)
def test_what_an_encoder_is_not_for(
    code: int, name: str, more: list[str], words: list[str], refused: Refused, tmp_path: Path
) -> None:
    folder = small_bert(name, tmp_path / "bert")
    (tmp_path / "text").write_text("some text\n")
    more = [part.replace("=text", f"={tmp_path / 'text'}") for part in more]
    refused(generate(folder, *more), code, *words)


@pytest.mark.parametrize(
    ("types", "pooling", "words"),
    [
        (["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True}, ["Dense"]),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, ["max"]),
        (
            ["Transformer", "Pooling"],
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            ["cls and mean"],
        ),
        (["Transformer", "Pooling"], None, ["1_Pooling", "JSON"]),
    ],
)
def test_a_pooling_that_is_not_known(
    types: list[str], pooling: dict[str, bool] | None, words: list[str], refused: Refused, tmp_path: Path
) -> None:
    folder = small_bert("BertModel", tmp_path / "bert")
    modules = [
        {"idx": number, "path": f"{number}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for number, kind in enumerate(types)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    refused(generate(folder), INVALID, *words)


def test_an_encoder_and_decoder(refused: Refused, tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, bos_token_id=3)
    model = T5ForConditionalGeneration(config)
    model.save_pretrained(tmp_path / "t5", safe_serialization=True)
    refused(
        generate(tmp_path / "t5", "--prefill", "8"),
        USAGE,
        "--prefill is for a decoder's",
        "an encoder-decoder's",
    )
    refused(
        generate(tmp_path / "t5", "--weights", "auto"),
        USAGE,
        "--weights auto is for a decoder's checkpoint",
        "an encoder-decoder's",
    )
    refused(generate(tmp_path / "t5", "--max-cache-len", "1"), USAGE, "at least 2 positions")
    path = tmp_path / "t5" / "generation_config.json"
    settings = json.loads(path.read_text()) | {"forced_decoder_ids": [[2, 7]]}
    path.write_text(json.dumps(settings))
    refused(
        generate(tmp_path / "t5"), INVALID, "Token ids that the decoder begins with", "decoder_start_token_id"
    )


@pytest.mark.parametrize(
    ("code", "more", "words"),
    [
        (USAGE, ["--max-encoder-len=64"], ["--max-encoder-len", "as many frames as its configuration says"]),
        (USAGE, ["--language=de"], ["--language is for a model that knows several"]),
        (USAGE, ["--task=sing"], ["transcribe"]),
        (USAGE, ["--calibration-text=text"], ["--calibration-text is for models that read texts"]),
        (USAGE, ["--prefill=8"], ["--prefill is for a decoder's checkpoint"]),
    ],
)
def test_what_a_model_of_speech_is_not_for(
    code: int, more: list[str], words: list[str], refused: Refused, tmp_path: Path
) -> None:
    from tests.pairs import make_listener

    (tmp_path / "text").write_text("the lamp is on\n" * 20)
    more = [part.replace("=text", f"={tmp_path / 'text'}") for part in more]
    refused(generate(make_listener("whisper", tmp_path), *more), code, *words)


@pytest.mark.parametrize(
    ("family", "more", "words"),
    [
        ("gpt_neo", ["--when-full=slide"], ["reads the position itself, as learned positions do"]),
        ("opt", ["--when-full=slide"], ["reads the position itself, as learned positions do"]),
        ("bloom", ["--when-full=slide"], ["counts its positions itself"]),
        ("gptj", ["--when-full=slide"], ["attention is code of its own"]),
        ("gpt_oss", ["--when-full=slide"], ["learned score in its softmax"]),
        ("lfm2", ["--prefill=8"], ["keeps a state, of a recurrence or a convolution, in 1 of 2 layers"]),
        ("olmoe", ["--target=ethos-u55-128"], ["is a mixture of experts"]),
    ],
)
def test_what_the_model_decides_is_refused_before_it_is_exported(
    family: str,
    more: list[str],
    words: list[str],
    refused: Refused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mcu_sdk.lowering import guard
    from tests.decoders import save_small_decoder

    def export_decoder(*given: object) -> None:
        raise AssertionError("it was exported")

    monkeypatch.setattr(guard, "export_decoder", export_decoder)
    board = "corstone-300" if family == "olmoe" else "host"
    command = generate(save_small_decoder(family, tmp_path), "--max-cache-len=12", *more, "--board", board)
    refused(command, INVALID, *words)


DECODERS = {
    "Mamba": {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 1},  # a state, no keys and values
    "OpenAIGPT": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32},  # recomputes everything
    "XLNet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
}


@pytest.mark.parametrize("more", ["--kv-scales=calibrated", "--kv-scales=dynamic", "--calibration-text=text"])
@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_without_a_static_cache(family: str, more: str, refused: Refused, tmp_path: Path) -> None:
    import transformers

    from tests.pairs import write_unigram

    config = getattr(transformers, f"{family}Config")(vocab_size=50, **DECODERS[family])
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "model", safe_serialization=True)
    write_unigram(tmp_path / "model" / "tokenizer.json")
    (tmp_path / "text").write_text("the lamp is on\n" * 20)
    more = more.replace("=text", f"={tmp_path / 'text'}")
    command = generate(tmp_path / "model", "--max-cache-len", "16", more)
    refused(command, INVALID, "static cache", type(model).__name__, "--pte")


# ---- lengths and texts


@pytest.mark.parametrize("length", ["0", "-3", "121", "1000000000000", "sixteen", "1.5", ""])
def test_a_cache_length_that_cannot_be(
    length: str, refused: Refused, checkpoint: Callable[[str], Path]
) -> None:
    refused(generate(checkpoint("llama-odd"), f"--max-cache-len={length}"), USAGE, "--max-cache-len")


def with_tokenizer(folder: Path) -> Path:
    """A byte-level BPE of 256 bytes and no merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.decoders import ByteLevel

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(
    "text", [b"abc\xff\xfe" * 100, b"", b"short", None], ids=["no UTF-8", "empty", "short", "missing"]
)
def test_a_calibration_text_that_is_none(
    text: bytes | None, refused: Refused, copied: Copied, tmp_path: Path
) -> None:
    folder = with_tokenizer(copied())
    file = tmp_path / "text.txt"
    if text is not None:
        file.write_bytes(text)
    refused(generate(folder, "--max-cache-len=16", f"--calibration-text={file}"), INVALID, "text.txt")


def test_a_calibration_text_that_the_tokenizer_cannot_encode(
    refused: Refused, copied: Copied, tmp_path: Path
) -> None:
    """A vocabulary of two letters, and no token for what is unknown."""
    from tokenizers import Tokenizer, models

    folder = copied()
    Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[])).save(str(folder / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("日本語" * 100, encoding="utf-8")
    refused(
        generate(folder, "--max-cache-len=16", f"--calibration-text={tmp_path / 'text.txt'}"),
        INVALID,
        "text.txt",
        "not in its vocabulary",
    )


def test_a_calibration_text_without_a_tokenizer(refused: Refused, copied: Copied, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello " * 100)
    refused(generate(copied(), f"--calibration-text={tmp_path / 'text.txt'}"), INVALID, "tokenizer")


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"model": {"type": "BPE"}}', b"\xff"])
def test_a_tokenizer_that_is_none(content: bytes, refused: Refused, copied: Copied, tmp_path: Path) -> None:
    folder = copied()
    (folder / "tokenizer.json").write_bytes(content)
    (tmp_path / "text.txt").write_text("hello " * 100)
    refused(generate(folder, f"--calibration-text={tmp_path / 'text.txt'}"), INVALID, "tokenizer")
