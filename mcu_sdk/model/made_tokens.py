"""Which tokens' bytes follow from their merges, so that the device need not hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcu_sdk.model.tokenizer_parts import Merge

MOST_WAITING = 24
"""MCU_MERGED_DEPTH."""

MOST_BYTES = 255
"""Of a token that is made: the room for it is memory that a firmware has always."""


@dataclass(frozen=True)
class Made:
    """`by`: of each token that is made, the rank of a merge that makes it. `first`: the token of the first merge; `saved`: how
    many bytes of tables that saves, about."""

    by: dict[int, int]
    first: int
    saved: int


def made_tokens(token_bytes: Sequence[bytes], merges: Sequence[Merge]) -> Made:
    """`merges`: by rank."""
    by: dict[int, int] = {}
    waiting: dict[int, int] = {}  # how many parts wait at most while a token is written
    # The shorter first: then what is known of both parts does not change any more.
    for rank in sorted(range(len(merges)), key=lambda rank: (len(token_bytes[merges[rank].result]), rank)):
        merge = merges[rank]
        left, right, token = (token_bytes[index] for index in (merge.left, merge.right, merge.result))
        if merge.result in by or not (left and right) or left + right != token:
            continue
        depth = max(waiting.get(merge.left, 0) + 1, waiting.get(merge.right, 0))
        if depth > MOST_WAITING or len(token) > MOST_BYTES:
            continue
        by[merge.result], waiting[merge.result] = rank, depth
    consecutive = bool(merges) and all(by.get(merges[0].result + rank) == rank for rank in range(len(merges)))
    columns = 0 if consecutive else len(token_bytes) * (2 if len(merges) < 2**16 else 4)
    others = [token for index, token in enumerate(token_bytes) if token and index not in by]
    kept = sum(map(len, others)) + 4 * len(others)
    total = sum(map(len, token_bytes))
    listed = total + len(token_bytes) * (2 if total < 2**16 else 4)
    return Made(by, merges[0].result if merges else 0, listed - kept - columns)
