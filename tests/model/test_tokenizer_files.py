"""A checkpoint's tokenizer.json: loaded, asked for ids, and held against what lies beside it and the model's vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, processors, trainers
from tokenizers import pre_tokenizers as pre

from mcu_sdk.errors import ModelError, TextError
from mcu_sdk.model.tokenizer import compile_tokenizer, device_tables, encode, load_tokenizer, text_ids
from tests.model.test_tokenizer import LINES, byte_level, fast


def test_load(tmp_path: Path) -> None:
    assert load_tokenizer(tmp_path) is None
    byte_level().save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert loaded is not None
    assert encode(loaded, "the king") == byte_level().encode("the king").ids
    fast(tokenizer_object=loaded).save_pretrained(str(tmp_path / "again"))
    again = load_tokenizer(tmp_path / "again" / "tokenizer.json")
    assert again is not None and again.get_vocab() == loaded.get_vocab()


def test_load_never_runs_code(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    config = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = load_tokenizer(tmp_path)
    assert loaded is not None and encode(loaded, "the king") == byte_level().encode("the king").ids
    assert not (tmp_path / "ran").exists()


def test_load_reports_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(ModelError, match="cannot be read"):
        load_tokenizer(tmp_path)


def test_text_that_cannot_be_encoded() -> None:
    loaded = byte_level()
    with pytest.raises(TextError, match=r"U\+D800"):
        encode(loaded, "a\ud800")
    with pytest.raises(TextError, match="no token"):
        encode(loaded, "")


def test_characters_that_would_be_dropped() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    tokenizer.pre_tokenizer = pre.Whitespace()
    assert encode(tokenizer, "ab a") == [2, 0]
    with pytest.raises(TextError, match="'c' is not in its vocabulary"):
        encode(tokenizer, "abc")


def test_unknown_word_without_unknown_token() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre.Whitespace()
    assert encode(tokenizer, "a") == [0]
    with pytest.raises(TextError, match="cannot encode"):
        encode(tokenizer, "a b")


def saved(folder: Path, tokenizer: Tokenizer, **config: Any) -> Path:
    """tokenizer.json, and a tokenizer_config.json of `config` beside it."""
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_ids_are_those_of_the_file_whatever_class_is_named(tmp_path: Path) -> None:
    """transformers rebuilds a GPT2Tokenizer from vocabulary and merges: the splitting of digits is lost."""
    from transformers import AutoTokenizer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre.Sequence(
        [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=sorted(pre.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(["year 2023 year 2024"] * 20, trainer)
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary |= {"20": len(vocabulary), "23": len(vocabulary) + 1}
    content["model"]["merges"] += [["2", "0"], ["2", "3"]]
    folder = saved(
        tmp_path / "model", Tokenizer.from_str(json.dumps(content)), tokenizer_class="GPT2Tokenizer"
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))

    text = "year 2023"
    truth = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    rebuilt: Any = AutoTokenizer
    assert rebuilt.from_pretrained(str(folder))(text)["input_ids"] != truth, "the test has lost its subject"
    loaded = load_tokenizer(folder)
    assert loaded is not None and encode(loaded, text) == truth
    assert compile_tokenizer(folder / "tokenizer.json").stages[0] == ("MCU_SPLIT_SET", 1)


def test_nothing_is_cut_or_padded(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    loaded = load_tokenizer(saved(tmp_path / "model", tokenizer))
    assert loaded is not None
    assert encode(loaded, LINES[0]) == byte_level().encode(LINES[0]).ids


def test_files_beside_the_tokenizer_that_disagree(tmp_path: Path) -> None:
    end = byte_level().token_to_id("<|endoftext|>")
    good = {"added_tokens_decoder": {str(end): {"content": "<|endoftext|>", "special": True}}}
    assert load_tokenizer(saved(tmp_path / "good", byte_level(), **good)) is not None
    moved = {"added_tokens_decoder": {"299": {"content": "<|endoftext|>"}}}
    with pytest.raises(ModelError, match=rf"id 299; tokenizer.json has it as {end}"):
        load_tokenizer(saved(tmp_path / "moved", byte_level(), **moved))
    folder = saved(tmp_path / "more", byte_level())
    (folder / "added_tokens.json").write_text(json.dumps({"<tool>": 300}))
    with pytest.raises(ModelError, match=r"'<tool>' has the id 300; tokenizer.json does not have it"):
        load_tokenizer(folder)


def test_a_start_token_that_only_the_class_would_add_is_noted(tmp_path: Path) -> None:
    settings = {"add_bos_token": True, "bos_token": "<|endoftext|>"}
    folder = saved(tmp_path / "model", byte_level(), **settings)
    _, word, notes = device_tables(folder, 300)
    assert word == "on the device" and len(notes) == 1 and "add_bos_token" in notes[0]
    tokenizer = byte_level()
    pair = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[pair])
    assert device_tables(saved(tmp_path / "added", tokenizer, **settings), 300)[2] == []


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"ids below 299; .* has ids up to 299"):
        device_tables(saved(tmp_path / "model", byte_level()), 299)


def test_a_token_around_every_text_beyond_the_vocabulary(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 300)])
    with pytest.raises(ModelError, match=r"the id 300 around every text"):
        device_tables(saved(tmp_path / "model", tokenizer), 300)


def test_added_tokens_beyond_the_vocabulary(tmp_path: Path) -> None:
    """A padding token that was added for training only: all other text is fine."""
    tokenizer = byte_level()
    tokenizer.add_special_tokens(["[PAD]"])
    _, word, notes = device_tables(saved(tmp_path / "model", tokenizer), 300)
    assert word == "on the device" and "1 added tokens beyond the model's 300 ids" in notes[0]
    assert text_ids(tokenizer, "the king", 300, Path("text.txt")) == tokenizer.encode("the king").ids
    with pytest.raises(TextError, match=r"text\.txt has the token '\[PAD\]', whose id 300 is beyond the 300"):
        text_ids(tokenizer, "the [PAD] king", 300, Path("text.txt"))


def test_a_vocabulary_that_is_padded_beyond_the_tokenizer(tmp_path: Path) -> None:
    tables, _, notes = device_tables(saved(tmp_path / "model", byte_level()), 320)
    assert tables is not None and notes == [
        "20 of the model's 320 ids have no token: where the model chooses one, nothing is printed."
    ]


@pytest.mark.parametrize("file", ["vocab.json", "tokenizer.model", "vocab.txt", "spiece.model"])
def test_an_older_tokenizer(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("{}")
    tables, word, notes = device_tables(tmp_path, 300)
    assert tables is None and file in word and "save_pretrained" in notes[0]
    assert load_tokenizer(tmp_path) is None


def test_the_advice_for_an_older_tokenizer_works(tmp_path: Path) -> None:
    """vocab.json and merges.txt become the tokenizer.json that the advice promises."""
    from transformers import AutoTokenizer

    byte_level().model.save(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"vocab.json", "merges.txt"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    older: Any = AutoTokenizer
    older.from_pretrained(str(tmp_path)).save_pretrained(str(tmp_path))
    loaded = load_tokenizer(tmp_path)
    assert loaded is not None and encode(loaded, "the king") == byte_level().encode("the king").ids
