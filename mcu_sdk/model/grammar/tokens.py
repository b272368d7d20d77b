"""A grammar over a tokenizer's tokens: which may come next, so that the answer can still be finished in the tokens left.

The specification of firmware/runtime/grammar.cpp.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mcu_sdk.model.grammar.automaton import NOWHERE, Automaton
from mcu_sdk.model.grammar.syntax import GrammarError

NEVER = 0xFFFF
"""Instead of a number of tokens: no token leads on from there to an end, or none leads there."""


@dataclass(frozen=True)
class TokenGrammar:
    """An automaton and a vocabulary.

    `token_bytes`: by id; empty for what is no text. `ends`: ids that end an answer. `left`: uint16[states], how few tokens
    lead from a state to an accepting one; 0 in these, NEVER where none does.
    """

    automaton: Automaton
    token_bytes: tuple[bytes, ...]
    ends: frozenset[int]
    left: npt.NDArray[np.uint16]

    @classmethod
    def of(
        cls, automaton: Automaton, token_bytes: Sequence[bytes], vocabulary: int, ends: Collection[int]
    ) -> TokenGrammar:
        """`vocabulary`: how many ids the model has. Raises GrammarError if the tokens cannot make any text of the grammar."""
        texts = (*token_bytes[:vocabulary], *([b""] * (vocabulary - len(token_bytes))))
        text_of = [b"" if token in set(ends) else text for token, text in enumerate(texts)]
        left = _distances(automaton, text_of)
        if left[0] == NEVER:
            raise GrammarError(
                f"No text that the grammar allows can be made of the model's {vocabulary} tokens"
                f"{_missing(automaton, text_of)}.",
                hint="Change the grammar, or take a model whose tokenizer has a token for each byte.",
            )
        return cls(automaton, texts, frozenset(ends), left)

    @property
    def shortest(self) -> int:
        """The tokens of the shortest answer, without one that ends it."""
        return int(self.left[0])

    def after(self, state: int, token: int) -> int:
        """The state behind a token; NOWHERE where it cannot come, whatever is left."""
        text = self.token_bytes[token]
        return NOWHERE if not text or token in self.ends else self.automaton.walk(state, text)

    def allowed(self, state: int, tokens_left: int) -> list[int]:
        """The tokens that may come, of which there can be `tokens_left` more. None where the answer is complete and the
        model has no token that ends it."""
        found = []
        for token in range(len(self.token_bytes)):
            after = self.after(state, token)
            may_end = token in self.ends and self.left[state] == 0
            if may_end or (after != NOWHERE and self.left[after] < tokens_left):
                found.append(token)
        return found

    def bar(self, logits: npt.NDArray[np.float32], state: int, tokens_left: int) -> npt.NDArray[np.float32]:
        """The logits with NaN for tokens that may not come, and -infinity for NaNs of those that may."""
        allowed = np.zeros(len(logits), dtype=bool)
        allowed[self.allowed(state, tokens_left)] = True
        unlikely = np.where(np.isnan(logits), np.float32(-np.inf), logits)
        return np.where(allowed, unlikely, np.float32(np.nan))


def _distances(automaton: Automaton, token_bytes: Sequence[bytes]) -> npt.NDArray[np.uint16]:
    """`left` of TokenGrammar."""
    states = len(automaton.accepting)
    targets = _targets(automaton, token_bytes)
    before: list[list[int]] = [[] for _ in range(states)]
    for state, reached in targets.items():
        for target in reached:
            before[target].append(state)
    left = np.full(states, NEVER, dtype=np.uint16)
    waiting = deque(int(state) for state in np.flatnonzero(automaton.accepting))
    left[automaton.accepting] = 0
    while waiting:
        target = waiting.popleft()
        for state in before[target]:
            if left[state] == NEVER:
                left[state] = left[target] + 1
                waiting.append(state)
    return left


def _targets(automaton: Automaton, token_bytes: Sequence[bytes]) -> dict[int, list[int]]:
    """Of each state that tokens reach, the states that one token leads to."""
    texts = sorted({text for text in token_bytes if text})
    if not texts:
        return {0: []}
    longest = max(map(len, texts))
    data = np.zeros((len(texts), longest), dtype=np.uint8)
    for row, text in enumerate(texts):
        data[row, : len(text)] = np.frombuffer(text, np.uint8)
    classes: Any = automaton.classes[data]
    lengths = np.array([len(text) for text in texts])
    found: dict[int, list[int]] = {}
    waiting = [0]
    while waiting:
        state = waiting.pop()
        if state in found:
            continue
        here = np.full(len(texts), state)
        rows, reached = np.arange(len(texts)), set()
        for position in range(longest):
            here = automaton.next[here, classes[rows, position]]
            rows, here = rows[here != NOWHERE], here[here != NOWHERE]
            reached |= set(np.unique(here[lengths[rows] == position + 1]).tolist())
            going = lengths[rows] > position + 1
            rows, here = rows[going], here[going]
            if not len(rows):
                break
        found[state] = sorted(reached)
        waiting += found[state]
    return found


def _missing(automaton: Automaton, token_bytes: Sequence[bytes]) -> str:
    """Which bytes a text of the grammar may begin with, where no token has one of them; else nothing."""
    begins = [byte for byte in range(256) if automaton.next[0, automaton.classes[byte]] != NOWHERE]
    known = {text[0] for text in token_bytes if text}
    if not begins or known & set(begins):
        return ""
    shown = ", ".join(ascii(chr(byte)) if byte < 0x80 else f"0x{byte:02X}" for byte in begins[:5])
    return f": none begins with {shown}" + (", ..." if len(begins) > 5 else "")
