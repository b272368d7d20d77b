"""Which tokenizers the device gets, why others are refused, and which text cannot be encoded."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, processors, trainers
from tokenizers import pre_tokenizers as pre
from transformers import PreTrainedTokenizerFast

from mcu_sdk.errors import ModelError, TextError
from mcu_sdk.model import unicode_tables
from mcu_sdk.model.token_texts import BYTE_CHARACTERS
from mcu_sdk.model.tokenizer import (
    DeviceTokenizer,
    compile_tokenizer,
    device_tables,
    encode,
    load_tokenizer,
    text_ids,
)

fast: Any = PreTrainedTokenizerFast
LINES = ["the king and the queen shall know", "don't we'll 1984 42", "über naïve"] * 20


def byte_level(size: int = 300, **model: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre.ByteLevel.alphabet())
    specials = ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(byte_level().to_str())
    return parsed


# -------------------------------------------------------------------------------- compile_tokenizer


def test_byte_characters_are_those_of_the_library() -> None:
    assert set(BYTE_CHARACTERS) == set(pre.ByteLevel.alphabet())
    # U+0000 to U+00FF in UTF-8 has every byte but C0, C1 and those from C4 on.
    for code in range(0x100):
        text = chr(code)
        shown = pre.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)[0][0]
        assert shown == "".join(BYTE_CHARACTERS[byte] for byte in text.encode())


def test_tables(content: dict[str, Any]) -> None:
    compiled = compile_tokenizer(content)
    vocabulary = content["model"]["vocab"]
    assert compiled.supported and compiled.reason == ""
    assert len(compiled.token_bytes) == len(vocabulary)
    assert compiled.token_bytes[vocabulary["<|endoftext|>"]] == b""
    assert [token.content for token in compiled.added] == [b"<|endoftext|>"]
    assert sorted(compiled.byte_ids) == sorted(vocabulary[character] for character in BYTE_CHARACTERS)
    assert [(m.left, m.right) for m in compiled.merges] == sorted((m.left, m.right) for m in compiled.merges)
    for merge in compiled.merges:
        joined = compiled.token_bytes[merge.left] + compiled.token_bytes[merge.right]
        assert compiled.token_bytes[merge.result] == joined
    assert compiled.stages == (("MCU_SPLIT_PATTERN", 1),)


def test_both_forms_of_merges_and_a_path(content: dict[str, Any], tmp_path: Path) -> None:
    strings = copy.deepcopy(content)
    strings["model"]["merges"] = [
        pair if isinstance(pair, str) else " ".join(pair) for pair in content["model"]["merges"]
    ]
    assert strings != content
    (tmp_path / "tokenizer.json").write_text(json.dumps(strings))
    assert compile_tokenizer(tmp_path / "tokenizer.json") == compile_tokenizer(content)


def test_whole_words_are_only_those_that_merging_does_not_make(content: dict[str, Any]) -> None:
    changed = copy.deepcopy(content)
    vocabulary = changed["model"]["vocab"]
    vocabulary |= {"Ġzz": 900, "abab": 901}
    changed["model"]["ignore_merges"] = True
    assert compile_tokenizer(changed).whole_words == (900, 901)


def test_column_of_results_only_where_needed(content: dict[str, Any]) -> None:
    def fields(data: dict[str, Any]) -> dict[str, str]:
        structs = compile_tokenizer(data).to_template()["structs"]
        (found,) = [struct for struct in structs if struct["name"] == "bpe"]
        return {field["name"]: field["value"] for field in found["fields"]}

    assert fields(content)["result"] == "{nullptr, nullptr}"
    changed = copy.deepcopy(content)
    changed["model"]["merges"].reverse()
    assert fields(changed)["result"] == "{kResult, nullptr}"


def test_unicode_tables_only_where_needed(content: dict[str, Any]) -> None:
    def arrays(data: dict[str, Any]) -> set[str]:
        return {array["name"] for array in compile_tokenizer(data).to_template()["arrays"]}

    assert {"kAscii0", "kRuns0", "kTable0"} <= arrays(content)
    changed = copy.deepcopy(content)
    changed["pre_tokenizer"]["use_regex"] = False
    assert not {"kAscii0", "kRuns0", "kTable0", "kSpaces"} & arrays(changed)


def test_specials_around_the_text() -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    ids = [tokenizer.token_to_id(token) for token in ("<s>", "</s>")]
    pairs = list(zip(("<s>", "</s>"), ids, strict=True))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=pairs)
    compiled = compile_tokenizer(json.loads(tokenizer.to_str()))
    assert (compiled.prefix_ids, compiled.suffix_ids) == ((ids[0],), (ids[1],))
    assert encode(tokenizer, "the")[0] == ids[0] and encode(tokenizer, "the")[-1] == ids[1]


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for key in parents:
            data = data[key]
        data[last] = value

    return edit


BARE = '{"model": {"type": "BPE"}, "pre_tokenizer": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"}}'
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
BEHIND = {"type": "Split", "pattern": {"Regex": r"(?<=\d)\d+"}, "behavior": "Isolated", "invert": False}
LATER = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_set("model.type", "WordLevel"), "its model is WordLevel"),
        (
            _set("pre_tokenizer", {"type": "Sequence", "pretokenizers": [BEHIND, LATER]}),
            "its pattern has the group",
        ),
        (
            _set("pre_tokenizer", {"type": "Sequence", "pretokenizers": [LATER, LATER]}),
            "its pre-tokenizer ByteLevel has no counterpart on the device behind ByteLevel",
        ),
        (_set("normalizer", {"type": "ByteLevel"}), "its normalizer is ByteLevel"),
        (_set("decoder", None), "its decoder is none"),
        (_set("decoder", {"type": "CTC"}), "its decoder has CTC"),
        (_set("model.dropout", 0.1), "dropout"),
        (_set("model.end_of_word_suffix", "</w>"), "insides or ends of words"),
        (_set("post_processor", TEMPLATE), "repeats the text 2 times"),
    ],
)
def test_refused_with_a_reason(
    content: dict[str, Any], edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    changed = copy.deepcopy(content)
    edit(changed)
    compiled = compile_tokenizer(changed)
    assert not compiled.supported
    assert reason in compiled.reason
    template = compiled.to_template()
    assert template["present"] is False and template["structs"] == [] and "\n" not in template["reason"]


def words(**parts: Any) -> dict[str, Any]:
    """A tokenizer.json of a WordPiece with a word or two."""
    vocabulary = {"[UNK]": 0, "[PAD]": 1, "king": 2, "##s": 3}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]"])
    parsed: dict[str, Any] = json.loads(tokenizer.to_str())
    return parsed | parts


def replaced(pattern: dict[str, str]) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": "x"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (words(normalizer=replaced({"Regex": "[0-9]"})), "its normalizer replaces by an unknown pattern"),
        (words(normalizer=replaced({"String": ""})), "its normalizer replaces the empty text"),
        (words(normalizer={"type": "ByteLevel"}), "its normalizer is ByteLevel"),
        (words(pre_tokenizer=LATER), "its pre-tokenizer ByteLevel has no counterpart"),
        (
            words(pre_tokenizer={"type": "Sequence", "pretokenizers": [
                {"type": "WhitespaceSplit"}, METASPACE | {"prepend_scheme": "first"}
            ]}),
            "for the first piece only behind another",
        ),
        (words(post_processor=TEMPLATE), "repeats the text 2 times"),
        (words(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}), "its model is WordLevel"),
    ],
)  # fmt: skip
def test_refused_for_texts_with_a_reason(content: dict[str, Any], reason: str) -> None:
    compiled = compile_tokenizer(content, texts=16)
    assert not compiled.supported and reason in compiled.reason


def test_tables_for_texts() -> None:
    compiled = compile_tokenizer(words(), texts=16)
    assert compiled.supported and compiled.words is not None
    assert compiled.words.vocabulary.tokens == (b"##s", b"[PAD]", b"[UNK]", b"king")
    assert compiled.pad_id == 1 and compiled.work_bytes == 1024 + 16 * 16
    assert compiled.single == ((-1, 0),) and compiled.pair == ((-1, 0), (-2, 1))
    assert compile_tokenizer(words()).reason == "its decoder is none, which puts spaces between tokens"


@pytest.mark.parametrize(
    "normalizer", [{"type": "Unheard"}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"}]
)
def test_no_normalizer(normalizer: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="not consistent"):
        compile_tokenizer(words(normalizer=normalizer), texts=16)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"model": 1}', BARE, "{", "[" * 100000])
def test_no_tokenizer_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError):
        compile_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match=r"missing\.json should hold a JSON object; it could not be read"):
        compile_tokenizer(tmp_path / "missing.json")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_content_is_an_error_or_refused(data: st.DataObject) -> None:
    """Any value of the file replaced by another: a ModelError, a reason or tables; no other exception."""
    damaged: Any = json.loads(_SMALL)
    node, key = damaged, "model"
    for _ in range(data.draw(st.integers(1, 4))):
        keys = sorted(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
        if not keys:
            break
        parent, key = node, data.draw(st.sampled_from(list(keys)))
        node = parent[key]
    junk = st.sampled_from([None, 0, -1, 2**40, 1.5, "", "x y z", [], [1], {}, {"type": "BPE"}, True])
    parent[key] = data.draw(junk)
    with contextlib.suppress(ModelError):
        assert isinstance(compile_tokenizer(damaged), DeviceTokenizer)


_SMALL = byte_level(260).to_str()


# -------------------------------------------------------------------------------- Unicode


def members(packed: tuple[int, ...]) -> set[int]:
    return {(entry >> 11) + i for entry in packed for i in range((entry & 0x7FF) + 1)}


def test_unicode_tables() -> None:
    white_space = {0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
    assert members(unicode_tables.spaces()) == white_space
    assert members(unicode_tables.digits()) >= {*range(0x30, 0x3A), 0xB2, 0x0663}
    words = members(unicode_tables.words())
    assert words >= {*map(ord, "azAZ09_éß日"), 0x301} and not words & {*map(ord, " -.\n\u3000"), 0xB2}


def test_tables_are_sorted_and_disjoint() -> None:
    for packed, bits in (
        (unicode_tables.spaces(), 11),
        (unicode_tables.digits(), 11),
        (unicode_tables.combining(), 3),
    ):
        ends = [
            (entry >> 11, (entry >> 11) + ((entry >> (11 - bits)) & ((1 << bits) - 1))) for entry in packed
        ]
        assert all(a[1] < b[0] for a, b in pairwise(ends))


def test_combining_classes() -> None:
    classes = {
        (entry >> 11) + i: entry & 0xFF
        for entry in unicode_tables.combining()
        for i in range((entry >> 8 & 7) + 1)
    }
    rng = random.Random(1)
    for a, b in (rng.sample(sorted(classes), 2) for _ in range(2000)):
        assert (classes[a] < classes[b]) == (unicodedata.combining(chr(a)) < unicodedata.combining(chr(b)))


# -------------------------------------------------------------------------------- load and encode


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


# -------------------------------------------------------------------------------- one truth


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


# -------------------------------------------------------------------------------- ids and the vocabulary


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
