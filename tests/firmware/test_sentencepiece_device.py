"""Tokenizers of characters and words, for models that write text, against the `tokenizers` library itself."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

from mcu_sdk.model.tokenizer import compile_tokenizer
from tests.firmware.made_tokenizers import corpus
from tests.firmware.tokenizer_device import Build, Device
from tests.firmware.torture import random_text

LENGTH = 1024
ROOM = 2 * LENGTH
"""What the room for changed text is made for: 130 characters that NFKC makes 8 bytes of are one word of a Unigram, whose
every byte takes 16."""
SPECIALS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
Pair = tuple[Tokenizer, Device]


def characters(*, fallback: bool = True, missing: str = "", fuse: bool = True, limit: int = 120) -> Tokenizer:
    """BPE over characters, with byte tokens or only some of them, trained on words behind a mark."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback))
    tokenizer.pre_tokenizer = pre.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=SPECIALS, limit_alphabet=limit, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    for name in BYTES if fallback else ():
        if name[3:5] not in missing.split():
            vocabulary[name] = len(vocabulary)
    # Runs of spaces, as Llama's and Gemma's vocabularies have them.
    for left, right in (("▁", "▁"), ("▁▁", "▁▁"), ("▁▁", "▁")):
        vocabulary.setdefault(left + right, len(vocabulary))
        content["model"]["merges"].append([left, right])
    content["pre_tokenizer"] = None
    return Tokenizer.from_str(json.dumps(content))


def with_template(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def llama2(**options: Any) -> Tokenizer:
    tokenizer = with_template(characters(**options))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", rstrip=True, normalized=False)])
    tokenizer.add_tokens(["<tool>"])
    return tokenizer


def llama_metaspace() -> Tokenizer:
    tokenizer = with_template(characters())
    tokenizer.pre_tokenizer = pre.Metaspace(prepend_scheme="first", split=False)
    return tokenizer


def gemma() -> Tokenizer:
    tokenizer = with_template(characters())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("▁▁▁▁▁▁", normalized=False)])
    return tokenizer


def metaspace_words() -> Tokenizer:
    tokenizer = with_template(characters())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    return tokenizer


def unigram(*, fallback: bool) -> Tokenizer:
    """T5's parts: a charsmap is not among them, NFKC is."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=SPECIALS, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    content = json.loads(tokenizer.to_str())
    if fallback:
        content["model"]["vocab"] += [[name, -12.0] for name in BYTES]
        content["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    parts = [decoders.Metaspace()]
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), *parts]) if fallback else parts[0]
    tokenizer.add_special_tokens(["<extra_id_0>"])
    tokenizer.add_tokens(["<plain▁one>"])
    return tokenizer


def marked(**marks: str) -> Tokenizer:
    """GPT-1's parts: BPE over characters of which the last of a word is another one; or the first."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", **marks))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre.BertPreTokenizer()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIALS, show_progress=False, **marks)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.decoder = decoders.BPEDecoder(suffix=marks.get("end_of_word_suffix", "</w>"))
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({}, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=SPECIALS, show_progress=False)
    tokenizer.train_from_iterator([*corpus(), "t n't"], trainer)
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


MAKERS: dict[str, Callable[[], Tokenizer]] = {
    "llama2": llama2,
    "llama_metaspace": llama_metaspace,
    "gemma": gemma,
    "metaspace_words": metaspace_words,
    "unigram": lambda: unigram(fallback=False),
    "unigram_of_bytes": lambda: unigram(fallback=True),
    "gpt1": lambda: marked(end_of_word_suffix="</w>"),
    "gpt1_of_insides": lambda: marked(end_of_word_suffix="</w>", continuing_subword_prefix="##"),
    "word_piece": word_piece,
    "unknown": lambda: llama2(fallback=False, fuse=False, limit=60),
    "unknown_fused": lambda: llama2(fallback=False, limit=60),
    "bytes_missing": lambda: llama2(missing="F0 C3 E3", limit=40),
    "bytes_missing_not_fused": lambda: llama2(missing="F0 C3 E3", fuse=False, limit=40),
}
FAST = {"llama2", "gemma", "unigram_of_bytes", "bytes_missing"}


@pytest.fixture(
    scope="module",
    params=[name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in MAKERS],
)
def pair(request: pytest.FixtureRequest, build: Build) -> Pair:
    tokenizer = MAKERS[request.param]()
    compiled = compile_tokenizer(json.loads(tokenizer.to_str()), length=ROOM)
    assert compiled.supported, compiled.reason
    return tokenizer, build(compiled)


def words_of(tokenizer: Tokenizer) -> list[str]:
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return sorted(token.replace("▁", " ") for token in tokenizer.get_vocab()) + added * 20


def check_many(pair: Pair, texts: int, seed: int) -> None:
    """Equal ids, and what the tokens of a text print is what the library decodes, but for what it strips at its ends."""
    tokenizer, device = pair
    rng = random.Random(seed)
    words = words_of(tokenizer)
    strips_first = '"Metaspace"' in json.dumps(json.loads(tokenizer.to_str())["decoder"])
    for _ in range(texts):
        text = random_text(rng, words)
        expected = tokenizer.encode(text).ids
        found = device.encode(text.encode(), LENGTH)
        assert found == (expected if len(expected) <= LENGTH else -1), ascii(text)
        decoded = tokenizer.decode(expected)
        if "\ufffd" in decoded:
            continue  # the library writes one for each byte that is no text
        pieces = [piece for piece in map(device.decode, expected) if piece]
        if pieces and strips_first:
            pieces[0] = pieces[0].replace(b" ", b"")
        assert b"".join(pieces).decode().strip(" ") == decoded.strip(" "), ascii(text)


def test_random_texts(pair: Pair) -> None:
    check_many(pair, 500, 1)


@pytest.mark.slow
def test_many_random_texts(pair: Pair) -> None:
    check_many(pair, 10_000, 2)


def test_prints_each_token(pair: Pair) -> None:
    """Between two others, so that nothing of it is stripped."""
    tokenizer, device = pair
    beside = tokenizer.token_to_id("t")
    special = {index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    for token, index in tokenizer.get_vocab().items():
        printed = b"".join(map(device.decode, (beside, index, beside)))
        if index in special:
            assert device.decode(index) == b""
        elif token in BYTES:
            byte = device.decode(index)
            assert byte == bytes((int(token[3:5], 16),)) or byte.decode() == token
        else:
            assert printed.decode().strip(" ") == tokenizer.decode([beside, index, beside]).strip(" "), token
    assert device.decode(-1) == device.decode(10**6) == b""


def test_a_long_text_in_one_word(build: Build) -> None:
    """Llama 2 cuts a text nowhere: its room is that of the model's length."""
    tokenizer = llama2()
    device = build(compile_tokenizer(json.loads(tokenizer.to_str()), length=LENGTH))
    text = "".join(corpus())[:2000]
    assert device.encode(text.encode(), LENGTH) == tokenizer.encode(text).ids
    assert device.encode(b"a" * 200_000, LENGTH) == -1
