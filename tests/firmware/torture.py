"""Seeded texts that a tokenizer may trip over."""

from __future__ import annotations

import random
from collections.abc import Sequence

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789٣٤५²½Ⅷ㊿𝟘",
    " \n\r\t\x0b\x0c  \u00a0\u2003\u3000\u1680\u2028\u2029\u0085\u202f\u205f\u180e\u200b\ufeff",
    "'’.,;:!?-_/\\()[]{}<>|@#$%^&*~`\"+=«»¿§¶†、。・「」؟।՚",
    "éüßñÅÉÀç\u017f\u0130\u01c5ﬁǰŉẞẛΐΣσςﬃ①㎏™℀ℌ",
    "αβγΔжящЮЙйЁאבגשמرحباไทยนமि日本語漢字国豈更車\U0002f800\U00020000한국어각",
    "\u0301\u0323\u0327\u0300\u0345\u0488\u034f\u0344\u064e\u0651\u0e38\u0e48\u05b0\u093c\u094d\u0315\u031b\u0321",
    "\u1b44\u302e\u302f\U0001d165\U0001d16d\U0001d15e\u0f71\u0f72\u0f74\u0f73\u0903\u093e\u09be\u0bd7\u1100\u1161\u11a8",
    "🙂👩\u200d👧🏽🇩🇪☃€∑️⃣\U0001f3f4\U000e0067\U000e007f\u200c\u2060\u00ad©®",
    "\x00\x01\x1b\x1c\x1f\x7f\u0080\u200e\u202e\ue000\U000e0001\U0010ffff\ufffd\ufffe\u0378\U000f0000\u061c\u0600\u06dd",
    "▁▁_ \u2581\uff3f\uff21\uff76\uff9e",
)


def random_text(rng: random.Random, words: Sequence[str], most: int = 8) -> str:
    """A mixture of `words`, pieces of them, and runs of characters of one kind."""
    parts = []
    for _ in range(rng.randint(0, most)):
        kind = rng.random()
        if kind < 0.35 and words:
            word = rng.choice(words)
            cut = rng.randint(1, len(word)) if word else 0
            parts.append(
                rng.choice(
                    (word, word + " ", " " + word, word.upper(), word[:cut], word[:cut] + word[cut - 1 :])
                )
            )
        elif kind < 0.45:
            parts.append(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x30000)))))
        elif kind < 0.46:
            parts.append(rng.choice(rng.choice(ALPHABETS)) * rng.randint(90, 130))
        else:
            alphabet = rng.choice(ALPHABETS)
            parts.append("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 6))))
    return "".join(parts)
