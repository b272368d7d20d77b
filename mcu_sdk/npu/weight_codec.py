"""Decompressing weight streams with Vela's own codec (`ethosu.mlw_codec`), in a process of its own.

The codec trusts its input: at the end of a corrupt stream it ends the process that called it. The process here starts
with the first stream, takes one after the other, and ends when its input does, which is when this program does.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING

import numpy as np

from mcu_sdk.errors import ToolMissingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Both ways: a length in bytes, u32, then the bytes. What the codec prints goes nowhere.
_WORKER = """
import os, struct, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
import numpy as np
from ethosu import mlw_codec
while header := sys.stdin.buffer.read(4):
    decoded = mlw_codec.decode(bytearray(sys.stdin.buffer.read(*struct.unpack("<I", header))))
    data = np.array(decoded, np.int16).tobytes() if isinstance(decoded, list) else bytes(decoded)
    answers.write(struct.pack("<I", len(data)) + data)
    answers.flush()
"""


class _Codec:
    """The process, started when it is needed. Threads take turns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, stream: bytes) -> NDArray[np.int16]:
        with self._lock:
            try:
                data = self._exchange(self._running(), stream)
            except (BrokenPipeError, EOFError) as error:
                self._end()
                raise ValueError(f"the weight stream of {len(stream)} bytes is corrupt") from error
            except (
                BaseException
            ):  # Ctrl-C between question and answer: the next answer would be the wrong one
                self._end()
                raise
        return np.frombuffer(data, np.int16)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this program, which ends the other
            )
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], stream: bytes) -> bytes:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(struct.pack("<I", len(stream)) + stream)
        process.stdin.flush()
        (length,) = struct.unpack("<I", _read(process.stdout, 4))
        return _read(process.stdout, length)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _read(file: IO[bytes], length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise EOFError
    return data


_codec = _Codec()


def decompress(stream: bytes) -> NDArray[np.int16]:
    """A compressed weight stream's weights, int16[n].

    Raises ValueError for a stream that is corrupt, ToolMissingError without the codec.
    """
    try:
        found = find_spec("ethosu.mlw_codec")
    except ImportError:
        found = None
    if found is None:
        raise ToolMissingError(
            "Simulating an Ethos-U needs ethos-u-vela, which is not installed.",
            hint="Install it: pip install 'executorch[ethos-u]'.",
        )
    return _codec.decode(stream)
