"""What fuzzing does to a valid input: damage that is drawn from a random generator, of the kinds that files suffer."""

from __future__ import annotations

import json
from random import Random
from typing import Any

NUMBERS = (0, 1, 2, 3, 7, 16, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64)
"""Where sizes, offsets and counts tend to break; their negatives are drawn too."""

VALUES: tuple[Any, ...] = (
    None, True, False, "", "a", "../x", "\0", "é", "\ud800", "x" * 5000, 0.5, -1.5, 1e308, float("nan"),
    float("inf"), [], {}, [[]], [None], {"": 0},
)  # fmt: skip
"""What may stand in a JSON document in the place of something else."""


def damaged(data: bytes, draw: Random) -> bytes:
    """One to four random changes of the bytes."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice(_BYTES)(data, draw)
    return data


def damaged_json(data: bytes, draw: Random) -> bytes:
    """Mostly changes of the document's meaning, now and then of its bytes."""
    if draw.random() < 0.15:
        return damaged(data, draw)
    document = json.loads(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        document = _change(document, draw)
    return json.dumps(document, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")


def damaged_lines(data: bytes, draw: Random) -> bytes:
    """For TOML and C: lines and words are lost, doubled, swapped or replaced; now and then bytes."""
    if draw.random() < 0.2:
        return damaged(data, draw)
    lines = data.decode().splitlines()
    full = [i for i, line in enumerate(lines) if line.strip()]
    for _ in range(draw.choice((1, 1, 2, 3))):
        at, other = draw.choice(full), draw.choice(full)
        kind = draw.randrange(5)
        if kind == 0:
            lines[at] = ""
        elif kind == 1:
            lines[at] += "\n" + lines[other]
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3 and "=" in lines[at]:
            lines[at] = f"{lines[at].split('=')[0]}= {_toml_value(draw)}"
        else:
            words = lines[at].split(" ")
            words[draw.randrange(len(words))] = draw.choice(
                ("", str(_number(draw)), "[", '"', "=", "x", "{elf}")
            )
            lines[at] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"


def _number(draw: Random) -> int:
    return draw.choice(NUMBERS) * draw.choice((1, 1, 1, -1))


def _toml_value(draw: Random) -> str:
    number = _number(draw)
    return draw.choice(
        (str(number), hex(abs(number)), f'"{number}K"', '""', '"a"', '"../x"', "[]", "{}", "true", "nan", "1e400",
         '["x"]', "[[]]", "1979-05-27", '"\\u0000"', f'"{number}G"')
    )  # fmt: skip


# ---- bytes


def _place(data: bytes, draw: Random) -> int:
    return draw.randrange(len(data)) if data else 0


def _flip(data: bytes, draw: Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + bytes(b ^ 1 << draw.randrange(8) for b in data[at : at + 1]) + data[at + 1 :]


def _set(data: bytes, draw: Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + bytes((draw.randrange(256),)) + data[at + 1 :]


def _word(data: bytes, draw: Random) -> bytes:
    size = draw.choice((2, 4, 4, 8))
    at = _place(data, draw) // size * size
    value = _number(draw) % 256**size
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


def _nudge(data: bytes, draw: Random) -> bytes:
    """An offset or a count that is a little off."""
    at = _place(data, draw) // 4 * 4
    value = int.from_bytes(data[at : at + 4], "little") + draw.choice((-8, -4, -1, 1, 4, 8))
    return data[:at] + (value % 2**32).to_bytes(4, "little") + data[at + 4 :]


def _cut(data: bytes, draw: Random) -> bytes:
    return data[: _place(data, draw)]


def _lose(data: bytes, draw: Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + data[at + draw.choice((1, 1, 4, 16, 64)) :]


def _insert(data: bytes, draw: Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + draw.randbytes(draw.choice((1, 1, 4, 16))) + data[at:]


def _fill(data: bytes, draw: Random) -> bytes:
    at, size = _place(data, draw), draw.choice((4, 16, 64, 256))
    return (data[:at] + bytes((draw.choice((0, 255)),)) * size + data[at + size :])[: len(data)]


def _copy(data: bytes, draw: Random) -> bytes:
    at, to, size = _place(data, draw), _place(data, draw), draw.choice((4, 16, 64))
    return data[:to] + data[at : at + size] + data[to + size :]


_BYTES = (_flip, _flip, _set, _word, _word, _nudge, _nudge, _cut, _lose, _insert, _fill, _copy)


# ---- JSON


def _change(document: Any, draw: Random) -> Any:
    """The document with one change, somewhere in it; deep places are as likely as the ways that lead there."""
    if isinstance(document, dict) and document and draw.random() < 0.9:
        key = draw.choice(list(document))
        kind = draw.random()
        rest = {k: v for k, v in document.items() if k != key}
        if kind < 0.12:
            return rest
        if kind < 0.2:
            return {**rest, draw.choice(("", "x", key.upper(), key + "s")): document[key]}
        return {**document, key: _change(document[key], draw)}
    if isinstance(document, list) and document and draw.random() < 0.9:
        at = draw.randrange(len(document))
        kind = draw.random()
        if kind < 0.1:
            return document[:at] + document[at + 1 :]
        if kind < 0.2:
            return document[:at] + [document[at]] * 2 + document[at + 1 :]
        return [*document[:at], _change(document[at], draw), *document[at + 1 :]]
    if isinstance(document, str) and document and draw.random() < 0.4:
        return damaged(document.encode("utf-8", "surrogatepass"), draw).decode("utf-8", "replace")
    if isinstance(document, int) and not isinstance(document, bool) and draw.random() < 0.4:
        return document + draw.choice((-1, 1, 2, -document, document))
    return draw.choice((*VALUES, _number(draw), _number(draw), str(_number(draw))))
