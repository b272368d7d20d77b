"""How long the SDK itself takes: processor time of a command, as a ratio to another command of the same run.

Seconds differ from machine to machine and from hour to hour, so no test judges them; a ratio to work of the same kind
moves far less. A bar is what was found, and about a quarter more. Each pair is run alternately, and the least time of each command counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mcu_sdk.errors import BuildError

COLD, WARM = "cold", "warm"
CLI = ("-m", "mcu_sdk.cli")
DECODER_BAR, MOBILE_NET_BAR = 1.0, 1.0
FRONT_END = ("-c", "import typer, rich.console")
"""What every command line of typer and rich has to import."""
FRAMEWORKS = ("-c", "import torch, transformers, executorch.exir, torchao")
"""What a compilation has to import."""


@dataclass(frozen=True)
class Pair:
    """`command` against `unit`, both Python's arguments; at most `bar` times its processor time.

    `cache`: whether the cache of compiled models is emptied before the command. `runs`: of each, the least counts.
    """

    name: str
    command: tuple[str, ...]
    unit: tuple[str, ...]
    bar: float
    unit_name: str
    cache: str = WARM
    runs: int = 5


def _generate(*options: str) -> tuple[str, ...]:
    return (*CLI, "--quiet", "generate", "--board", "corstone-300", *options)


PAIRS = (
    Pair("mcu-sdk --help", (*CLI, "--help"), FRONT_END, 2.0, "import typer, rich"),
    Pair("mcu-sdk boards", (*CLI, "boards"), FRONT_END, 4.0, "import typer, rich"),
    Pair("mcu-sdk doctor", (*CLI, "doctor"), FRONT_END, 6.0, "import typer, rich"),
    Pair("generate, warm", _generate("--output", "p"), FRONT_END, 20.0, "import typer, rich", runs=3),
    Pair("generate, cold", _generate("--output", "p"), FRAMEWORKS, 6.0, "import torch, ...", COLD, 1),
    Pair(
        "generate for an NPU, cold",
        _generate("--output", "n", "--target", "ethos-u55-128", "--max-cache-len", "64"),
        FRAMEWORKS,
        25.0,
        "import torch, ...",
        COLD,
        1,
    ),
)


@dataclass(frozen=True)
class Duration:
    """Seconds of processor time, of this machine at this hour, beside those of `unit`; at most `bar` times as many."""

    name: str
    unit: str
    seconds: float
    unit_seconds: float
    bar: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.unit_seconds

    @property
    def met(self) -> bool:
        return self.ratio <= self.bar


def measure_commands(
    folder: Path, report: Callable[[str], None], pairs: Sequence[Pair] = PAIRS
) -> list[Duration]:
    """Run each pair in `folder`. Raises BuildError for a command that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for pair in pairs:
        report(f"duration: {pair.name}")
        own, unit = [], []
        for _ in range(pair.runs):
            if pair.cache == COLD:
                shutil.rmtree(folder / "cache", ignore_errors=True)
            own.append(processor_seconds(pair.command, folder))
            unit.append(processor_seconds(pair.unit, folder))
        found.append(Duration(pair.name, pair.unit_name, min(own), min(unit), pair.bar))
    return found


def measure_simulated_npu(report: Callable[[str], None]) -> list[Duration]:
    """A stream that the NPU's simulator has run before, beside the TOSA reference model on the graph it was made of."""
    from tests.npu.comparison import make_simulator, simulate
    from tests.npu.decoder import DecoderStep, decoder_shapes
    from tests.npu.lowering import lower, random_inputs, reference
    from tests.npu.models import Case, mobile_net

    cases = (
        # 0.3 million weights, 64 tokens in the cache.
        (
            Case(
                "a decoder's step", lambda: DecoderStep(1, 128, 4, 384, 1024), decoder_shapes(1, 128, 4, 64)
            ),
            DECODER_BAR,
        ),
        # 19 million multiply-accumulates.
        (Case("a MobileNet, 96 x 96", lambda: mobile_net(16), ((1, 3, 96, 96),)), MOBILE_NET_BAR),
    )
    found = []
    for case, bar in cases:
        report(f"duration: the simulated NPU, {case.name}")
        lowered, simulator = lower(case, "ethos-u55-128"), make_simulator("ethos-u55-128")
        inputs = random_inputs(lowered.tosa, 1)
        simulate(simulator, lowered.blob, inputs)
        own = _least(20, partial(simulate, simulator, lowered.blob, inputs))
        unit = _least(5, partial(reference, lowered.tosa, inputs))
        found.append(Duration(f"the simulated NPU, {case.name}", "TOSA reference model", own, unit, bar))
    return found


def _least(runs: int, call: Callable[[], object]) -> float:
    """The least processor time, in seconds, of `runs` calls."""
    seconds = []
    for _ in range(runs):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


def processor_seconds(arguments: Sequence[str], folder: Path) -> float:
    """User and system time of `python ARGUMENTS`, run in `folder`, and of the children it waited for."""
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "MCU_SDK_CACHE": str(folder / "cache")}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # waited for: nobody else has to
    if process.returncode:
        raise BuildError(
            f"`python {' '.join(arguments)}` was expected to succeed; it ended with {process.returncode}."
        )
    return usage.ru_utime + usage.ru_stime
