"""A monitor through a pseudo terminal to the UART of QEMU: no prompt is lost."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.targets.protocol import Request

ROOT = Path(__file__).parents[2]
PATIENT = """
from mcu_sdk.cli import main
from mcu_sdk.targets.serial import Pace
Pace.__init__.__defaults__ = (0.1, 60.0, 300.0, 60.0, 5)
main()
"""
"""`mcu-sdk` that waits long for a sign of a board: a simulator on a busy computer may get no time for seconds, and looking for
faults of a line is not what is tested with it."""


@pytest.fixture
def pseudo_terminal(tiny_project: Path) -> Iterator[str]:
    with waiting_in_qemu(tiny_project / "build/release/firmware.elf") as port:
        yield port


@contextmanager
def waiting_in_qemu(program: Path) -> Iterator[str]:
    """The port at which a firmware for corstone-300 waits that QEMU runs."""
    command = " ".join(load_board("corstone-300").simulator["qemu"].command)
    command = command.replace("-serial stdio", "-serial pty")
    words = [part.replace("{elf}", str(program)) for part in command.split(" ")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = process.stdout.readline().decode()
    found = re.search(r"redirected to (\S+)", said)
    assert found is not None, said
    try:
        yield found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_prompt_is_lost(tiny_project: Path, pseudo_terminal: str, count: int) -> None:
    draw = random.Random(1)
    prompts = [",".join(str(draw.randrange(16)) for _ in range(draw.randint(1, 6))) for _ in range(count)]
    command = [sys.executable, "-c", PATIENT, "monitor", str(tiny_project), "--port", pseudo_terminal, "--tokens", "3", "--json"]  # fmt: skip
    done = subprocess.run(
        command, input="\n".join(prompts) + "\n", capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["prompt"] for answer in answers] == prompts
    assert [answer["facts"]["prompt_ids"] for answer in answers] == prompts
    project = open_project(tiny_project)
    by_prompt = {answer["prompt"]: answer["facts"]["digest"] for answer in answers}
    for prompt in draw.sample(sorted(by_prompt), 3):
        request = Request(ids=tuple(map(int, prompt.split(","))), tokens=3)
        assert (
            run_on("host", project, tiny_project / "build/host/firmware", request).digest == by_prompt[prompt]
        )
