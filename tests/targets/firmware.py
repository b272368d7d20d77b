"""The firmware's side of the run protocol, as firmware/runtime has it, for tests that play a target."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

_NUMBERED = re.compile(rb"@run request=(\d+) .*crc=[0-9a-f]{8}\n?")


class Firmware:
    """`send` puts bytes on the line; the CRC is kept of what goes through `write`."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._number: bytes | None = None
        self._crc = 0

    def write(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._send(data)

    def start(self, line: str | bytes) -> bool:
        """Whether the line is a request with a number and the right CRC; then its answer begins."""
        line = line.encode() if isinstance(line, str) else line
        found = _NUMBERED.fullmatch(line)
        if found is None or not is_whole(line):
            return False
        self._number = found[1]
        self._send(b"\n")
        self._crc = 0
        self.write(b"@mcu request=" + found[1] + b"\n")
        return True

    def end(self, verdict: bytes = b"ok") -> None:
        self.write(b"@mcu verdict=" + verdict)
        if self._number is not None:
            self.write(b" request=" + self._number)
            self._send(f" crc={self._crc:08x}".encode())
            self._number = None
        self._send(b"\n\x04")


def is_whole(line: bytes) -> bool:
    """Whether the line ends with the CRC of all before."""
    body, _, crc = line.rstrip(b"\r\n").rpartition(b" crc=")
    return f"{zlib.crc32(body):08x}".encode() == crc
