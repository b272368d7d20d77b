"""The device's tokenizer, compiled with sanitizers, against the `tokenizers` library itself."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models
from tokenizers import pre_tokenizers as pre

from mcu_sdk.model.tokenizer import DeviceTokenizer, compile_tokenizer
from tests.firmware import torture
from tests.firmware.made_tokenizers import MAKERS, corpus, edited, gpt2, qwen2, whole_text
from tests.firmware.tokenizer_device import Build, Device
from tests.split_patterns import PATTERNS

BEHAVIORS = ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")

Pair = tuple[Tokenizer, Device]

SLOW = {
    "whole_text",
    "whole_text_prefixed",
    "digit_runs_prefixed",
    "falcon",
    "unknown",
    "long_tokens_shuffled",
}
"""What the others show too, but for a corner."""


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MAKERS],
)
def pair(request: pytest.FixtureRequest, build: Build) -> Pair:
    tokenizer = MAKERS[request.param]()
    compiled = compile_tokenizer(json.loads(tokenizer.to_str()))
    assert compiled.supported, compiled.reason
    return tokenizer, build(compiled)


ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFSTLMRVDZ",
    " \n\r\t\x0b\x0c",
    "  \u00a0\u2003\u3000\u1680\u2028\u0085\u202f\u205f\u180e\u200b\ufeff",
    "0123456789",
    "'’.,;:!?-_/\\()[]{}<>|@#$%^&*~`\"+=",
    "éüßñÅ\u017f\u0130\u01c5ﬁǰ",
    "αβγΔжящЮאבגمرحبا日本語한국ไทยनमस्ते",
    "٣٤५²½Ⅷ㊿𝟘𐄇",
    "\u0301\u0323\u0327\u064e\u0651\u0e38\u0e48\u05b0\u093c\u1161\u11a8",
    "🙂👩\u200d👧🏽🇩🇪☃€∑",
    "\x00\x01\x1b\x1c\x1f\x7f\u0080\u200e\u202e\ue000\U000e0001\U0010ffff\ufffd",
)
WORDS = (
    "'s",
    "'ll",
    "'RE",
    "'ve",
    "'D",
    "'\u017f",
    "'m ",
    " '",
    "don't",
    "the",
    "hello",
    " 999",
    "zzz",
    "    ",
    "qqqqqqqq",
)


def contents(tokenizer: Tokenizer) -> list[str]:
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


def random_text(rng: random.Random, specials: list[str]) -> str:
    parts = []
    for _ in range(rng.randint(0, 8)):
        kind = rng.random()
        if kind < 0.15:
            parts.append(rng.choice(WORDS))
        elif kind < 0.25 and specials:
            special = rng.choice(specials)
            parts.append(rng.choice((special, special, special[:-1], special + " ", "  " + special)))
        elif kind < 0.35:
            parts.append(rng.choice(rng.choice(corpus()).split(" ")) + " ")
        else:
            alphabet = rng.choice(ALPHABETS)
            parts.append("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 6))))
    return "".join(parts)


def check(pair: Pair, text: str) -> None:
    """Equal ids."""
    tokenizer, device = pair
    assert device.encode(text.encode()) == tokenizer.encode(text).ids, ascii(text)


def test_random_texts(pair: Pair) -> None:
    rng = random.Random(4)
    specials = contents(pair[0])
    for _ in range(6000):
        check(pair, random_text(rng, specials))


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(text=st.text(max_size=40))
@example(text="")
@example(text=" ")
@example(text="'\u017f's'S")
@example(text="a  b   \n\n  c \r\n")
def test_any_text(pair: Pair, text: str) -> None:
    check(pair, text)


def test_every_code_point_in_context(pair: Pair) -> None:
    """Each assigned region's characters after an apostrophe, a space, a digit and a line end."""
    rng = random.Random(5)
    chosen = [
        *range(0x250),
        *rng.sample(range(0x250, 0xD800), 1500),
        *rng.sample(range(0xE000, 0x40000), 1500),
    ]
    for code in chosen:
        check(pair, f"'{chr(code)} {chr(code)}e1{chr(code)}\n{chr(code)}{chr(code)} .")


@pytest.mark.parametrize("seed", range(3))
def test_order_of_merges(seed: int, build: Build) -> None:
    """All ways to make every string of two letters in random order: merges often make lower-ranked pairs."""
    strings = ["".join(letters) for n in range(1, 6) for letters in itertools.product("ab", repeat=n)]
    vocabulary = {c: i for i, c in enumerate(sorted(pre.ByteLevel.alphabet()))}
    vocabulary |= {string: 256 + i for i, string in enumerate(strings) if len(string) > 1}
    merges = [(string[:i], string[i:]) for string in strings for i in range(1, len(string))]
    rng = random.Random(seed)
    rng.shuffle(merges)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    pair = tokenizer, build(compile_tokenizer(json.loads(tokenizer.to_str())))
    for _ in range(2000):
        check(pair, "".join(rng.choices("ab", k=rng.randint(0, 20))))


def test_what_nfc_changes(build: Build) -> None:
    tokenizer = qwen2()
    device = build(compile_tokenizer(json.loads(tokenizer.to_str())))
    for text in (
        "e\u0301",
        "\u212b",
        "\u1100\u1161",
        "a\u0301\u0323",
        "क\u093c",
        "Grüße 한국어",
        "\u0628\u0651\u064e",
    ):
        check((tokenizer, device), text)


def test_decodes_every_id(pair: Pair) -> None:
    tokenizer, device = pair
    size = tokenizer.get_vocab_size()
    ids = range(size) if size < 5000 else range(0, size, 61)
    for token in ids:
        raw = device.decode(token)
        assert raw.decode("utf-8", errors="replace") == tokenizer.decode([token]), token
    for token in (-1, -(2**31), 2**31 - 1, max(tokenizer.get_vocab().values()) + 1):
        assert device.decode(token) == b""


def test_round_trip(pair: Pair) -> None:
    """The bytes of the ids, joined, are what the library decodes them to."""
    tokenizer, device = pair
    for text in corpus()[:100]:
        found = device.encode(text.encode())
        assert not isinstance(found, int)
        raw = b"".join(device.decode(token) for token in found)
        assert raw.decode("utf-8", errors="replace") == tokenizer.decode(found)


def test_invalid_utf8_is_refused(pair: Pair) -> None:
    rng = random.Random(6)
    bad = [
        b"\x80",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
    ]
    bad += [b"\xf5\x80\x80\x80", b"\xff", b"\xe2\x82", b"a\xf0\x9f\x99", b"\xc3", b"ok \xc3("]
    for _ in range(1000):
        bad.append(
            bytes(
                rng.choice((rng.randrange(256), rng.randrange(0x80, 0xF8))) for _ in range(rng.randint(1, 6))
            )
        )
    for text in bad:
        try:
            text.decode()
        except UnicodeDecodeError:
            assert pair[1].encode(text) == -2, text
        else:
            check(pair, text.decode())


def test_capacity(pair: Pair) -> None:
    """Never an id beyond the capacity; what the header promises suffices; too few is -1."""
    tokenizer, device = pair
    text = "the King and 1984 shall <|endoftext|> know"
    expected = tokenizer.encode(text).ids
    spaces = "MCU_SPLIT_PREFIX_SPACE" in str(compile_tokenizer(json.loads(tokenizer.to_str())).stages)
    enough = len(text) * (2 if spaces else 1) + tokenizer.num_special_tokens_to_add(False)
    for capacity in range(enough + 1):
        found = device.encode(text.encode(), capacity)
        assert found == expected or (found == -1 and capacity < enough)
    assert device.encode(text.encode(), len(expected) - 1) == -1


def test_long_text_in_one_word(build: Build) -> None:
    """A text of thousands of bytes that no splitter cuts takes seconds under sanitizers at most."""
    tokenizer = whole_text()
    device = build(compile_tokenizer(json.loads(tokenizer.to_str())))
    text = "".join(corpus())[:3000]
    assert device.encode(text.encode()) == tokenizer.encode(text).ids
    assert device.encode(b"a" * 5000) == tokenizer.encode("a" * 5000).ids


def of_bytes(cut: list[Any]) -> Tokenizer:
    """Any two of the usual bytes merge: a cut in the wrong place shows."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre.Sequence([*cut, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    content = json.loads(tokenizer.to_str())
    alphabet = sorted(pre.ByteLevel.alphabet())
    vocabulary = {character: i for i, character in enumerate(alphabet)}
    usual = [alphabet[i] for i in range(256) if alphabet[i].isascii() or i % 3 == 0]
    pairs = [(a, b) for a in usual for b in usual]
    random.Random(10).shuffle(pairs)
    vocabulary |= {a + b: 256 + i for i, (a, b) in enumerate(pairs)}
    content["model"] |= {"vocab": vocabulary, "merges": pairs}
    return Tokenizer.from_str(json.dumps(content))


def check_cuts(cut: list[Any], build: Build, texts: int) -> None:
    tokenizer = of_bytes(cut)
    compiled = compile_tokenizer(json.loads(tokenizer.to_str()))
    assert compiled.supported, compiled.reason
    pair = tokenizer, build(compiled)
    rng = random.Random(7)
    words = [*WORDS, "McDonald'S", "12345678", "hello\r\n", "//\n", "IMGIMGABCZ", "!!\n\n", "12345678.90a"]
    for _ in range(texts):
        check(pair, torture.random_text(rng, words))


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str, build: Build) -> None:
    check_cuts([pre.Split(Regex(PATTERNS[name]), "isolated")], build, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("behavior", BEHAVIORS)
@pytest.mark.parametrize("name", ["bloom", "deepseek_v3", "falcon", "line_ends", "superbpe", "tiny_aya"])
@pytest.mark.parametrize("invert", [False, True])
def test_what_becomes_of_matches(behavior: str, name: str, invert: bool, build: Build) -> None:
    check_cuts([pre.Split(Regex(PATTERNS[name]), behavior, invert=invert)], build, 2000)


def test_patterns_one_after_the_other(build: Build) -> None:
    """As DeepSeek V3 has them, with a set in front and one that leaves gaps."""
    names = ("superbpe", "tiny_aya", "deepseek_numbers", "deepseek_han", "deepseek_v3")
    cut = [pre.Split(Regex(PATTERNS[name]), "isolated") for name in names]
    check_cuts([pre.Punctuation("contiguous"), *cut, pre.Split("ab", "merged_with_next")], build, 500)


def test_missing_bytes_without_unknown_token_are_refused(build: Build) -> None:
    """The library drops them silently; the device says so."""

    def edit(content: dict[str, Any]) -> None:
        model = content["model"]
        model["vocab"] = {t: i for t, i in model["vocab"].items() if "z" not in t}
        model["merges"] = [pair for pair in model["merges"] if "z" not in "".join(pair)]

    tokenizer = edited(gpt2(), edit)
    device = build(compile_tokenizer(json.loads(tokenizer.to_str())))
    assert device.encode(b"the zoo") == -2
    assert device.encode(b"the King") == tokenizer.encode("the King").ids


def test_without_tokenizer(build: Build) -> None:
    device = build(DeviceTokenizer(supported=False, reason="none\nwas given */"))
    assert device.encode(b"text") == -2
    assert device.encode(b"") == -2
    assert device.decode(0) == b""
