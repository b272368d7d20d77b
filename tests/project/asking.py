"""Requests to a tiny project's firmware, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mcu_sdk.project.project_inputs import ProjectInputs

Inputs = Callable[..., ProjectInputs]

OnHost = Callable[[Path, bytes], bytes]

OnQemu = Callable[[Path, bytes], tuple[int, bytes]]

REQUESTS = b"""@run tokens=8 temperature=0 ids=1,2,3
@run tokens=5 temperature=1.5 top_k=4 seed=9 ids=3
@run tokens=0 ids=4
@run tokens=99 temperature=1 seed=18446744073709551615 ids=1,1,1,1,1,1,1,1,1,1,1,1
@run tokens=8 temperature=1.5 seed=3 top_p=0.75 min_p=0.1 repetition_penalty=1.3 logit_bias=4:-2.5,9:1 ids=4,4,4
"""

ANSWERS = REQUESTS.count(b"\n")

EOT = b"\x04"


def facts(output: bytes) -> list[str]:
    """The protocol's lines but for those that only a board prints."""
    lines = re.findall(rb"@mcu (.*)", output)
    return [
        re.sub(r" stack_used=\d+", "", line.decode())
        for line in lines
        if not line.startswith((b"instr", b"count"))
    ]


def answer(on_host: OnHost, project: Path, line: bytes, preset: str = "host-debug") -> bytes:
    """What follows `ready=1`."""
    output = on_host(project / "build" / preset / "firmware", line + b"\n" + EOT)
    return output.split(b"@mcu ready=1\n")[1]
