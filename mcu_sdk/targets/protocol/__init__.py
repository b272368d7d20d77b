"""The run protocol: what is said to a firmware, and how its answer is read (docs/run-protocol.md).

A request is one line. The answer is the model's text as it is, lines `@mcu key=value ...` with facts, and EOT
(0x04). Both carry the request's number and a CRC. The same bytes cross a simulator's UART, a serial port, and a host
program's standard streams.
"""

from __future__ import annotations

from mcu_sdk.targets.protocol.answer import (
    Listener,
    News,
    OnText,
    Transcript,
)
from mcu_sdk.targets.protocol.events import (
    EOT,
    LARGEST_FACT_LINE,
    End,
    Event,
    Fact,
    Parser,
    Text,
)
from mcu_sdk.targets.protocol.request import (
    FORGET_LINE,
    LONGEST_STOP,
    MOST_BIASES,
    MOST_STOPS,
    PING,
    SMALLEST,
    Message,
    Request,
    new_number,
    numbered,
)

__all__ = [
    "EOT",
    "FORGET_LINE",
    "LARGEST_FACT_LINE",
    "LONGEST_STOP",
    "MOST_BIASES",
    "MOST_STOPS",
    "PING",
    "SMALLEST",
    "End",
    "Event",
    "Fact",
    "Listener",
    "Message",
    "News",
    "OnText",
    "Parser",
    "Request",
    "Text",
    "Transcript",
    "new_number",
    "numbered",
]
