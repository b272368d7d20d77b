"""A grammar over tokens: an answer can always be finished in the tokens that are left."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from mcu_sdk.model.grammar.automaton import NOWHERE, build
from mcu_sdk.model.grammar.regex import parse_regex
from mcu_sdk.model.grammar.syntax import GrammarError
from mcu_sdk.model.grammar.tokens import NEVER, TokenGrammar
from mcu_sdk.model.sampling import Settings, choose

TOKENS = (b"", b"a", b"b", b"ab", b"ba", b"abc", b"c", b"\xe2", b"\x82\xac", b"<end>", b"")
END = 9


def grammar_of(pattern: str, ends: tuple[int, ...] = (END,), vocabulary: int = len(TOKENS)) -> TokenGrammar:
    return TokenGrammar.of(build(parse_regex(pattern)), TOKENS, vocabulary, ends)


@pytest.mark.parametrize(
    ("pattern", "shortest"),
    [("a{6}", 6), ("(ab)*c", 1), ("ababc", 2), ("abab(abc)?", 2), ("a*", 0), ("(abc){3}|b{8}", 3), ("€", 2)],
)
def test_the_shortest_answer_in_tokens(pattern: str, shortest: int) -> None:
    assert grammar_of(pattern).shortest == shortest


def test_every_answer_matches_in_any_number_of_tokens() -> None:
    rng, numbers = random.Random(4), np.random.default_rng(4)
    for pattern in ("a{2,6}(b|€)?c*", "(ab|ba)+c", "[ab]*€", "(a|b)*"):
        grammar = grammar_of(pattern)
        for seed in range(60):
            left = budget = grammar.shortest + rng.randrange(5)
            state, made, random_state = 0, b"", seed
            while left:
                logits = (numbers.standard_normal(len(TOKENS)) * 5).astype(np.float32)
                if seed % 5 == 0:
                    logits[numbers.integers(0, len(TOKENS), 4)] = np.nan
                barred = grammar.bar(logits, state, left)
                token, random_state = choose(barred, Settings(1.0, 3, 0.9, 0.01), [], random_state)
                assert token in grammar.allowed(state, left)
                left -= 1
                if token == END:
                    break
                made += TOKENS[token]
                state = grammar.after(state, token)
            assert re.fullmatch(pattern, made.decode()), (pattern, budget, made)


def test_an_end_comes_where_the_answer_may_end_and_nowhere_else() -> None:
    grammar = grammar_of("ab?")
    assert grammar.allowed(0, 5) == [1, 3] and grammar.allowed(0, 1) == [1, 3]
    assert grammar.allowed(grammar.after(0, 1), 1) == [2, END]
    assert grammar.allowed(grammar.after(0, 3), 1) == [END]
    assert grammar.after(0, END) == grammar.after(0, 0) == NOWHERE
    assert grammar_of("ab?", ends=()).allowed(grammar.after(0, 3), 1) == []
    assert grammar_of("<end>|a").shortest == 1


def test_a_way_that_the_tokens_do_not_go_is_never_begun() -> None:
    """After "b" only "d" could follow, which is in no token."""
    grammar = grammar_of("(bd|ac)c")
    assert grammar.allowed(0, 9) == [1]
    assert grammar.left[grammar.automaton.walk(0, b"b")] == NEVER


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("[x-z]+", "none begins with 'x', 'y', 'z'"),
        ("ad", r"can be made of the model's 11 tokens\."),
        ("é", "0xC3"),
    ],
)
def test_a_grammar_that_no_token_can_satisfy(pattern: str, what: str) -> None:
    with pytest.raises(GrammarError, match=what):
        grammar_of(pattern)
    with pytest.raises(GrammarError, match="2 tokens"):
        grammar_of("b", vocabulary=2)
