"""Serial ports: finding a board's, opening it for ourselves alone, and what it means when that fails."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mcu_sdk.board.board import Board
from mcu_sdk.board.devices import UsbPort
from mcu_sdk.errors import DeviceMissingError, McuSdkError, RunError, TargetTimeoutError, UsageError

if TYPE_CHECKING:
    from serial import Serial

AUTO = "auto"
"""As a port: the one that the board's USB ids find."""


class Port(Protocol):
    """What is used of a serial.Serial."""

    @property
    def in_waiting(self) -> int: ...
    def read(self, size: int = 1, /) -> bytes: ...
    def write(self, data: bytes, /) -> int | None: ...


class Listed(Protocol):
    """What is used of what pyserial knows of a port."""

    device: str
    description: str
    vid: int | None
    pid: int | None
    serial_number: str | None
    location: str | None


def called(port: str) -> str:
    """What messages call the board there."""
    return f"the board at {port}"


# ---- finding


def find_port(board: Board, wanted: str, listed: Sequence[Listed] | None = None) -> str:
    """The device of a port: `wanted` itself, the port of the USB device with that serial number, or for AUTO the one that
    the board's USB ids find. `listed`: the ports that there are, if not those of this computer.

    Raises UsageError where several could be meant, or the board names no ids; DeviceMissingError where there is none.
    """
    if wanted != AUTO and ("/" in wanted or re.fullmatch(r"COM[0-9]+", wanted, re.IGNORECASE)):
        return wanted
    if listed is None:
        from serial.tools.list_ports import comports

        listed = comports()
    if wanted != AUTO:
        matching = [port for port in listed if port.serial_number == wanted]
        missing = f"There is no serial port {wanted!r}, and none of a USB device with that serial number"
    else:
        usb = board.uart.usb if board.uart is not None else ()
        if not usb:
            raise UsageError(
                f"The board {board.name} does not say how its serial port is found; ports: {_list(listed)}.",
                hint="Name one of them with --port, or give `usb` in the board.toml's [uart].",
            )
        matching = [port for port in listed if any(_is_of(port, each) for each in usb)]
        ids = ", ".join(f"{each.vid:04x}:{each.pid:04x}" for each in usb)
        missing = f"No serial port of {board.name} is connected (USB {ids})"
    if not matching:
        raise DeviceMissingError(
            f"{missing}; ports: {_list(listed)}.", hint="Plug the board in, or name its port with --port."
        )
    if len(matching) > 1:
        raise UsageError(
            f"Several serial ports could be meant: {_list(matching)}.",
            hint="Name one with --port, by its device or its serial number.",
        )
    return matching[0].device


def _is_of(port: Listed, usb: UsbPort) -> bool:
    if (port.vid, port.pid) != (usb.vid, usb.pid):
        return False
    # Where a device has several interfaces, its location ends with ":configuration.interface".
    interface = re.search(r":\d+\.(\d+)$", port.location or "")
    return usb.interface is None or interface is None or int(interface[1]) == usb.interface


def _list(ports: Sequence[Listed]) -> str:
    def one(port: Listed) -> str:
        ids = f", USB {port.vid:04x}:{port.pid:04x}" if port.vid is not None and port.pid is not None else ""
        number = f", serial number {port.serial_number}" if port.serial_number else ""
        return f"{port.device} ({port.description}{ids}{number})"

    return "; ".join(one(port) for port in ports) or "none"


# ---- opening


def open_port(port: str, baud: int, *, poll: float, write_timeout: float) -> Serial:
    """The port, open, and locked against others who ask; a read waits `poll` seconds at most.

    Raises DeviceMissingError if it is not there, in use, or may not be opened.
    """
    import serial

    try:
        connection = serial.Serial(port, baud, timeout=poll, write_timeout=write_timeout, exclusive=True)
        connection.reset_input_buffer()
    except (OSError, ValueError) as error:  # a SerialException is an OSError
        raise _cannot_open(port, error) from error
    return connection


def _cannot_open(port: str, error: Exception) -> DeviceMissingError:
    number = getattr(error, "errno", None)
    if number in (errno.EBUSY, errno.EAGAIN):
        return DeviceMissingError(
            f"The serial port {port!r} is in use by another program.",
            hint=f"Close its terminal or monitor; `fuser {port}` says who has it.",
        )
    if number in (errno.EACCES, errno.EPERM):
        return DeviceMissingError(
            f"The serial port {port!r} may not be opened by you.",
            hint='On Linux join the group that it belongs to, and log in again: sudo usermod -aG dialout "$USER".',
        )
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceMissingError(
            f"There is no serial port {port!r}.",
            hint="Is the board plugged in? `python -m serial.tools.list_ports` lists the ports.",
        )
    return DeviceMissingError(
        f"The serial port {port!r} cannot be used: {error}.",
        hint="Is it a serial port? `python -m serial.tools.list_ports` lists them.",
    )


@contextmanager
def port_errors(port: str) -> Iterator[None]:
    """Around all that is done with an open port: RunError when it goes away (the board was unplugged), TargetTimeoutError
    when it takes no bytes."""
    import serial

    try:
        yield
    except McuSdkError:
        raise
    except serial.SerialTimeoutException as error:
        raise TargetTimeoutError(
            f"{called(port)} takes no bytes.", hint="Is its flow control on, and nobody listening?"
        ) from error
    except (serial.SerialException, OSError) as error:
        if not is_gone(error):
            raise
        raise RunError(
            f"{called(port)} was unplugged, or its port went away: {error}.",
            hint="Check the cable, and try again.",
        ) from error


def is_gone(error: OSError) -> bool:
    """Whether an error of an open port says that it is no longer there."""
    import serial

    gone = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.EBADF)
    return isinstance(error, serial.SerialException) or error.errno in gone
