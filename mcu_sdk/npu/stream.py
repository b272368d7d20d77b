"""The command block of an Ethos-U delegate: what the driver is told, and the NPU's command stream.

32-bit words, little-endian: the fourcc "COP1", then driver actions. An action is a word with its number in bits 7:0.
1: the configuration the stream was made for; two words follow, CONFIG and ID as the NPU's registers show them.
5: nothing. 2: the command stream; its length in words has bits 15:0 in the action's bits 31:16 and bits 23:16 in its
bits 15:8.

A command has its opcode in bits 9:0 and its parameter in bits 31:16; bits 15:14 are 1 where a word of payload
follows and 0 where none does.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mcu_sdk.errors import PteError
from mcu_sdk.npu.accelerator import PRODUCTS, Accelerator, accelerators

FOURCC = b"COP1"
_CONFIG, _STREAM, _NOP = 1, 2, 5


@dataclass(frozen=True)
class StreamConfig:
    """What the stream was made for: the words that the NPU's CONFIG and ID registers have to agree with."""

    config: int
    id: int

    @property
    def product(self) -> int:
        return self.config >> 28

    @property
    def macs(self) -> int:
        """Multiply-accumulators per cycle."""
        return 1 << (self.config & 15)

    @property
    def stream_version(self) -> int:
        return self.config >> 4 & 15

    @property
    def architecture(self) -> tuple[int, int, int]:
        """Major, minor, patch."""
        return self.id >> 28, self.id >> 20 & 0xFF, self.id >> 16 & 15

    @property
    def accelerator(self) -> Accelerator:
        """Raises PteError for an accelerator that nobody knows."""
        name = f"ethos-{PRODUCTS.get(self.product, '?')}-{self.macs}"
        found = accelerators().get(name)
        if found is None:
            raise _corrupt(f"it is for product {self.product} with {self.macs} MACs, which is no Ethos-U")
        return found


@dataclass(frozen=True)
class Command:
    """`payload` is None for commands without one. `index` is the command's first word in the stream."""

    index: int
    opcode: int
    parameter: int
    payload: int | None = None


@dataclass(frozen=True)
class CommandStream:
    """`offset`: where the stream begins in the command block; `size`: its bytes."""

    config: StreamConfig
    commands: tuple[Command, ...]
    offset: int
    size: int


def read_config(data: bytes) -> StreamConfig:
    """What a command block was made for, without decoding the stream. Raises PteError for a corrupt block."""
    return _read_header(data)[0]


def read_stream(data: bytes) -> CommandStream:
    """Take a command block apart. Raises PteError for what is truncated or no command block."""
    config, offset, words = _read_header(data)
    stream = struct.unpack_from(f"<{words}I", data, offset)
    commands = []
    index = 0
    while index < words:
        word = stream[index]
        kind, opcode, parameter = word >> 14 & 3, word & 0x3FF, word >> 16
        if kind > 1 or word & 0x3C00:
            raise _corrupt(f"word {index} of the stream, {word:#010x}, is no command")
        if kind and index + 1 == words:
            raise _corrupt(f"the stream ends before the payload of word {index}, {word:#010x}")
        commands.append(Command(index, opcode, parameter, stream[index + 1] if kind else None))
        index += 1 + kind
    return CommandStream(config, tuple(commands), offset, 4 * words)


def check_accelerator(config: StreamConfig, wanted: Accelerator) -> None:
    """Raises PteError if the stream was made for another accelerator than `wanted`, or for another version of it: a
    stream has its NPU's version, and an architecture that is no newer, as the driver wants it too."""
    found = config.accelerator
    if found != wanted:
        raise PteError(
            f"The command stream was made for {found.name}; the NPU is {wanted.name}.",
            hint=f"Lower the model for {wanted.name}, or take the target {found.name}.",
        )
    kind, (major, minor, _) = wanted.kind, config.architecture
    is_new = (major, minor) > kind.architecture[:2] or major != kind.architecture[0]
    if is_new or config.stream_version != kind.stream_version:
        known = ".".join(map(str, kind.architecture[:2]))
        raise PteError(
            f"The command stream has version {config.stream_version}, for the architecture {major}.{minor}; the simulated "
            f"{wanted.name} takes version {kind.stream_version}, for {known}.",
            hint="Lower the model again with the installed ethos-u-vela.",
        )


def _read_header(data: bytes) -> tuple[StreamConfig, int, int]:
    """The configuration, where the stream begins (bytes), and its length (words)."""
    if data[:4] != FOURCC:
        raise _corrupt(f"it begins with {data[:4]!r}, not {FOURCC!r}")
    config: StreamConfig | None = None
    offset = 4
    while offset + 4 <= len(data):
        (word,) = struct.unpack_from("<I", data, offset)
        offset += 4
        action = word & 0xFF
        if action == _CONFIG:
            if offset + 8 > len(data):
                break
            config = StreamConfig(*struct.unpack_from("<2I", data, offset))
            offset += 8
        elif action == _STREAM:
            words = word >> 16 | (word & 0xFF00) << 8
            if config is None:
                raise _corrupt("the stream comes before its configuration")
            if offset + 4 * words != len(data):
                raise _corrupt(f"the stream should have {words} words; {len(data) - offset} bytes follow")
            return config, offset, words
        elif action != _NOP:
            raise _corrupt(f"word {offset // 4 - 1}, {word:#010x}, is an action that is not known")
    raise _corrupt(f"it ends after {len(data)} bytes, without a command stream")


def _corrupt(what: str) -> PteError:
    return PteError(
        f"The Ethos-U command block is corrupt: {what}.",
        hint="Lower the model again with ExecuTorch's Ethos-U backend.",
    )
