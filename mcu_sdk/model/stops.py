"""The specification of firmware/runtime/stop.cpp: where an answer ends that has stop texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cut(pieces: Iterable[bytes], stops: Sequence[bytes]) -> tuple[bytes, int]:
    """The answer's text, and how many of its tokens there are; `pieces`: the bytes of each token, as they come.

    The first byte that completes one of `stops` ends it, and with it the token. The text ends before the stop text; before
    the longest, where several are complete.
    """
    text, count = b"", 0
    for count, piece in enumerate(pieces, start=1):
        for byte in piece:
            text += bytes((byte,))
            found = max((len(stop) for stop in stops if text.endswith(stop)), default=0)
            if found:
                return text[:-found], count
    return text, count
