"""Vela's decoder of weight streams, in a process of its own.

The decoder ends its process when a stream is corrupt, and says no more than a line on standard error; so it gets one
that can be lost. The process ends with its standard input, that is with the one that started it.
"""

from __future__ import annotations

import atexit
import struct
import subprocess
import sys
from importlib.util import find_spec
from threading import Lock
from typing import IO, TYPE_CHECKING

import numpy as np

from mcu_sdk.errors import ToolMissingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LENGTH = struct.Struct("<Q")


class WeightDecoder:
    """Decodes one stream after the other; starts the process when it is first needed, and again after a loss."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def decode(self, stream: bytes) -> NDArray[np.int16]:
        """The weights in the stream's order, int16. Raises ValueError for a corrupt stream, ToolMissingError without
        ethos-u-vela."""
        with self._lock:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            try:
                _send(process.stdin, stream)
                return np.frombuffer(_receive(process.stdout), "<i2")
            except (EOFError, BrokenPipeError):
                self._end()
                raise ValueError(f"the weight stream of {len(stream)} bytes is corrupt") from None
            except (
                BaseException
            ):  # an interrupt between question and answer: the next answer would be the wrong one
                self._end()
                raise

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            if not _is_installed():
                raise ToolMissingError(
                    "Simulating an Ethos-U needs ethos-u-vela, which is not installed.",
                    hint="Install it: pip install ethos-u-vela",
                )
            self._process = subprocess.Popen(
                [sys.executable, "-c", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the one that asked
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _is_installed() -> bool:
    try:
        return find_spec("ethosu.mlw_codec") is not None
    except ModuleNotFoundError:
        return False


_WORKER = """
import os, struct, sys
from array import array
from ethosu import mlw_codec
source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
while len(head := source.read(8)) == 8:
    size = struct.unpack("<Q", head)[0]
    stream = source.read(size)
    if len(stream) < size:
        break
    weights = mlw_codec.decode(bytearray(stream))
    answer = array("h", weights).tobytes() if isinstance(weights, list) else bytes(weights)
    sink.write(struct.pack("<Q", len(answer)) + answer)
    sink.flush()
"""
"""The process's program: lengths of 8 bytes, little-endian, before each question and each answer. The decoder prints
on standard output; that goes where standard error goes."""


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


shared = WeightDecoder()
"""One for all simulators of this process."""

atexit.register(shared.close)
