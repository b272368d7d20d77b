"""Which tokenizers the device gets, why others are refused, and which text cannot be encoded."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, processors, trainers
from tokenizers import pre_tokenizers as pre
from transformers import PreTrainedTokenizerFast

from mcu_sdk.errors import ModelError
from mcu_sdk.model.token_texts import BYTE_CHARACTERS
from mcu_sdk.model.tokenizer import (
    DeviceTokenizer,
    compile_tokenizer,
    encode,
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
