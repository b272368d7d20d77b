"""What a model remembers of the tokens that every conversation begins with, computed once, on this computer.

The host's build is the firmware's own sources, so its cache is the device's, bit for bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcu_sdk.board.board import load_board
from mcu_sdk.planning.fit import Layout
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

_GAP = 16
"""Zero bytes, as many as a segment's entry takes twice over: fewer are not worth another segment."""


@dataclass(frozen=True)
class StoredCache:
    """The part of a KV cache that is not zero. `tokens`: that were read; `segments`: (where each begins, its bytes)."""

    tokens: int
    segments: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, cache: bytes, tokens: int) -> StoredCache:
        """Of a cache that was zeroed before the tokens were read."""
        return cls(tokens, tuple((begin, cache[begin:end]) for begin, end in _parts(cache)))

    @property
    def bytes(self) -> int:
        """In flash."""
        return sum(8 + len(data) for _, data in self.segments)

    def to_template(self) -> dict[str, Any]:
        """Plain values for templates/model/chat.cpp.j2."""
        return {
            "tokens": self.tokens,
            "segments": [f"{{{begin}, {len(data)}}}" for begin, data in self.segments],
            "data": [str(byte) for _, data in self.segments for byte in data],
        }


def _parts(cache: bytes) -> Iterator[tuple[int, int]]:
    """Where the segments begin and end."""
    zeros, begin, length = bytes(_GAP), 0, len(cache)
    while begin < length:
        if cache[begin] == 0:
            begin += 1
            continue
        end = cache.find(zeros, begin)
        end = length if end < 0 else end
        yield begin, end
        begin = end


def stored_cache(inputs: ProjectInputs, ids: Sequence[int]) -> StoredCache:
    """The cache of a project's model after these tokens. Raises what building for this computer raises."""
    here = replace(
        inputs,
        board=load_board("host"),
        layout=Layout(),
        shared_layout=None,
        files={},
        inputs={},
        places={},
        executorch=None,  # a plan writes the same bytes
    )
    with tempfile.TemporaryDirectory(prefix="mcu-sdk-chat-") as folder:
        project = render_project(here, Path(folder) / "project")
        library = build(project, "host").library
        assert library is not None, "a host's build makes libmodel.so"
        model = HostModel(library)
        model.tokens(ids)
        return StoredCache.of(model.kv_cache(), len(ids))
