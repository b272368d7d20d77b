"""Talking to a firmware on a board, over a serial port."""

from __future__ import annotations

import time

from mcu_sdk.errors import RunError, TargetTimeoutError, ToolMissingError
from mcu_sdk.targets.process import DEFAULT_TIMEOUT, LARGEST_OUTPUT
from mcu_sdk.targets.protocol import Listener, OnText, Request, Transcript, check_verdict

_POLL_SECONDS = 0.1


def run(
    port: str,
    request: Request,
    *,
    baud: int = 115200,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
) -> Transcript:
    """Send the request to the firmware that waits at `port`, and return its answer, whose verdict is "ok".

    The firmware is not restarted, and not sent EOT, so it stays ready for the next request.

    Raises ToolMissingError if the port cannot be opened, RunError if it goes away or floods, TargetTimeoutError,
    and what `check_verdict` raises.
    """
    import serial

    line = request.encode()
    name = f"the board at {port}"
    listener = Listener(on_text, ready=True)
    deadline = time.monotonic() + timeout
    try:
        with serial.Serial(port, baud, timeout=_POLL_SECONDS, write_timeout=timeout) as connection:
            connection.reset_input_buffer()
            # An empty line first: it ends whatever half a line is in the firmware's buffer, and is itself ignored.
            connection.write(b"\n" + line)
            while not listener.done:
                if time.monotonic() > deadline:
                    raise TargetTimeoutError(
                        f"{name} gave no complete answer within {timeout:g} seconds "
                        f"({listener.received:,} bytes came).",
                        hint="Is the firmware running, and are port and baud rate right? --timeout allows more time.",
                    )
                listener.feed(connection.read(max(1, connection.in_waiting)))
                if listener.received > LARGEST_OUTPUT:
                    raise RunError(f"{name} flooded its output.", hint="Is this the board with the firmware?")
    except serial.SerialException as error:
        if listener.received:
            raise RunError(f"{name} went away: {error}.", hint="Check the cable.") from error
        raise ToolMissingError(
            f"The serial port {port!r} cannot be used: {error}.",
            hint="Check its name (`python -m serial.tools.list_ports`) and that you may open it (group dialout).",
        ) from error
    return check_verdict(listener.close(), name)
