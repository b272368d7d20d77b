"""The Ethos-U driver over scripted registers: what it writes in which order, and what it makes of each failure."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcu_sdk import resources
from mcu_sdk.npu.stream import read_stream
from tests.npu.blobs import U55_128, command_block

HERE = Path(__file__).resolve().parent
FLAGS = [
    "-std=c++17",
    "-O1",
    "-g",
    "-fno-exceptions",
    "-fno-rtti",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# Offsets and bits as Arm's technical reference manual of the Ethos-U55 gives them; not those of the driver's header.
ID, STATUS, CMD, RESET, QBASE, QREAD, QCONFIG, QSIZE, CONFIG, REGIONCFG, BASEP = (
    *(0x00, 0x04, 0x08, 0x0C, 0x10, 0x18, 0x1C, 0x20, 0x28, 0x3C),
    0x80,
)
IN_RESET, RAISED, END = 1 << 3, 1 << 1, 1 << 5
BUS, PARSE, WEIGHT, ECC, BRANCH = 1 << 2, 1 << 4, 1 << 7, 1 << 8, 1 << 9

STREAM = [0x0001_010F, 0x0000_4005, 1234, 0xFFFF_0000]
DONE = RAISED | END

MESSAGES = (
    "ok",
    "npu_bad_stream",
    "npu_not_found",
    "npu_version_mismatch",
    "npu_stuck_in_reset",
    "npu_timeout",
    "npu_bus_error",
    "npu_parse_error",
    "npu_memory_fault",
    "npu_stream_fault",
    "npu_ended_early",
)
"""By the number of their Status."""


@dataclass
class Result:
    """`log`: writes and calls in order; `reads`: how often each register was read; `places`: addresses by name."""

    log: list[tuple[str, ...]] = field(default_factory=list)
    reads: dict[int, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    status: str = ""

    @property
    def writes(self) -> list[tuple[int, int]]:
        return [(int(line[1]), int(line[2])) for line in self.log if line[0] == "write"]

    @property
    def other(self) -> list[tuple[str, ...]]:
        return [line for line in self.log if line[0] != "write"]


class Driver:
    """The compiled driver as a process that takes one script after the other."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def script(self, lines: Sequence[str]) -> Result:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n".join(lines) + "\n")
        self._process.stdin.flush()
        result = Result()
        for line in self._process.stdout:
            kind, *rest = line.split()
            if kind == "end":
                return result
            if kind == "reads":
                result.reads[int(rest[0])] = int(rest[1])
            elif kind in ("commands", "weights", "scratch"):
                result.places[kind] = int(rest[0])
            elif kind == "status":
                assert MESSAGES[int(rest[0])] == rest[1]
                result.status = rest[1]
            else:
                result.log.append((kind, *rest))
        assert self._process.stderr is not None
        raise AssertionError(self._process.stderr.read())

    def invoke(
        self,
        commands: bytes | None = None,
        status: Sequence[int] = (0, DONE),
        regions: Sequence[int] = (),
        ports: int = 0,
        polls: int = 8,
        version: tuple[int, int] = U55_128,
        end: str = "invoke",
    ) -> Result:
        """`status`: what reads of STATUS give, the first of them in reset; `version`: CONFIG and ID."""
        data = command_block(STREAM) if commands is None else commands
        lines = [f"commands {data.hex()}", f"ports {ports}", f"polls {polls}"]
        lines += [f"region {address}" for address in regions]
        lines += [f"register {CONFIG} {version[0]}", f"register {ID} {version[1]}"]
        lines += [f"register {STATUS} {value}" for value in status]
        return self.script([*lines, end])

    def close(self) -> None:
        """Ends the process, in which nothing may have leaked."""
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, errors


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    program = tmp_path_factory.mktemp("ethos_u") / "driver"
    folder = resources.firmware() / "drivers" / "ethos_u"
    sources = [folder / "ethos_u.cpp", folder / "ethos_u_run.cpp", HERE / "ethos_u_driver.cpp"]
    done = subprocess.run(
        ["g++", *FLAGS, *SANITIZERS, "-I", str(resources.firmware()), *map(str, sources), "-o", str(program)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    running = Driver(program)
    yield running
    running.close()


def halves(address: int) -> tuple[int, int]:
    return address & 0xFFFFFFFF, address >> 32


def test_every_write_in_order(driver: Driver) -> None:
    """Reset; queue; regions; RUN; then the interrupt is cleared and the clocks may stop."""
    regions = [0x6000_1000, 0x1_2345_6780, 0]
    result = driver.invoke(regions=regions, ports=0b11_01, status=[0, 1, 1, DONE])
    start = result.places["commands"] + read_stream(command_block(STREAM)).offset
    low, high = halves(start)
    assert result.writes == [
        (RESET, 1),
        (QCONFIG, 2),
        (REGIONCFG, 0b1101),
        (QBASE, low),
        (QBASE + 4, high),
        (QSIZE, 4 * len(STREAM)),
        *((BASEP + 4 * i, half) for i, half in enumerate(h for r in regions for h in halves(r))),
        (CMD, 1),
        (CMD, 2),
        (CMD, 0),
    ]
    assert result.status == "ok"
    assert result.reads == {ID: 1, CONFIG: 1, STATUS: 4}


def test_it_waits_for_the_reset_to_end(driver: Driver) -> None:
    result = driver.invoke(status=[IN_RESET] * 50 + [0, DONE])
    assert result.status == "ok" and result.reads[STATUS] == 52
    assert result.writes[0] == (RESET, 1) and result.writes[1][0] == QCONFIG


def test_a_reset_that_never_ends(driver: Driver) -> None:
    result = driver.invoke(status=[IN_RESET])
    assert result.status == "npu_stuck_in_reset"
    assert result.writes == [(RESET, 1)]


def test_no_npu_at_the_address(driver: Driver) -> None:
    """A bus without a device reads 0 or all ones."""
    nothing, ones = 0, 0xFFFF_FFFF
    for status, version in (
        ([nothing], (nothing, nothing)),
        ([ones], (ones, ones)),
        ([nothing], (ones, ones)),
    ):
        result = driver.invoke(status=status, version=version)
        assert result.status == "npu_not_found"
        assert result.writes == [(RESET, 1)]


@pytest.mark.parametrize("polls", [0, 1, 5])
def test_a_hung_npu(driver: Driver, polls: int) -> None:
    """It is asked as often as the job says, then told to stop."""
    result = driver.invoke(status=[0, 1], polls=polls)
    assert result.status == "npu_timeout"
    assert result.reads[STATUS] == 1 + polls
    assert result.writes[-3:] == [(CMD, 1), (CMD, 2), (CMD, 0)]


@pytest.mark.parametrize(
    "bits, message",
    [
        (BUS, "npu_bus_error"),
        (PARSE, "npu_parse_error"),
        (ECC, "npu_memory_fault"),
        (WEIGHT, "npu_stream_fault"),
        (BRANCH, "npu_stream_fault"),
        (0, "npu_ended_early"),
        (BUS | PARSE | ECC, "npu_bus_error"),
    ],
)
@pytest.mark.parametrize("ended", [0, END], ids=["stopped", "ended"])
def test_every_fault(driver: Driver, bits: int, ended: int, message: str) -> None:
    """A fault is told also where the end was reached; the NPU is left with its interrupt cleared."""
    if bits == 0 and ended:
        message = "ok"
    result = driver.invoke(status=[0, 1, RAISED | bits | ended])
    assert result.status == message
    assert result.writes[-3:] == [(CMD, 1), (CMD, 2), (CMD, 0)]


def test_a_fault_without_an_interrupt_is_no_time_out(driver: Driver) -> None:
    assert driver.invoke(status=[0, 1, BUS], polls=3).status == "npu_bus_error"


def test_the_reset_clears_what_a_failed_run_left(driver: Driver) -> None:
    """STATUS shows faults from the last run only until the reset: the next run is not blamed for them."""
    assert driver.invoke(status=[0, RAISED | PARSE]).status == "npu_parse_error"
    assert driver.invoke(status=[IN_RESET | BUS, 0, DONE]).status == "ok"


CONFIG_55_128, ID_55_128 = U55_128


@pytest.mark.parametrize(
    "version, message",
    [
        pytest.param((CONFIG_55_128, ID_55_128), "ok", id="the same"),
        pytest.param((CONFIG_55_128, ID_55_128 + (1 << 20)), "ok", id="newer minor"),
        pytest.param((CONFIG_55_128, ID_55_128 + (1 << 16)), "ok", id="newer patch"),
        pytest.param((CONFIG_55_128, ID_55_128 & ~0xF0FFF), "ok", id="older patch, other product revision"),
        pytest.param((CONFIG_55_128 & ~0xFF00 | 48 << 8, ID_55_128), "ok", id="other SHRAM"),
        pytest.param((CONFIG_55_128, ID_55_128 + (1 << 28)), "npu_version_mismatch", id="newer major"),
        pytest.param((CONFIG_55_128, ID_55_128 & 0x0FFF_FFFF), "npu_version_mismatch", id="older major"),
        pytest.param((CONFIG_55_128 + 1, ID_55_128), "npu_version_mismatch", id="256 MACs"),
        pytest.param((CONFIG_55_128 - 1, ID_55_128), "npu_version_mismatch", id="64 MACs"),
        pytest.param((CONFIG_55_128 | 1 << 28, ID_55_128), "npu_version_mismatch", id="U65"),
        pytest.param((CONFIG_55_128 | 2 << 28, ID_55_128), "npu_version_mismatch", id="U85"),
        pytest.param((CONFIG_55_128 | 1 << 4, ID_55_128), "npu_version_mismatch", id="other stream version"),
    ],
)
def test_the_version(driver: Driver, version: tuple[int, int], message: str) -> None:
    """The registers against a stream for ethos-u55-128, architecture 1.0.6. On a mismatch nothing is run."""
    result = driver.invoke(version=version)
    assert result.status == message
    assert ((CMD, 1) in result.writes) == (message == "ok")


def test_a_stream_for_a_newer_minor_is_refused(driver: Driver) -> None:
    block = command_block(STREAM, (CONFIG_55_128, ID_55_128 + (1 << 20)))
    assert driver.invoke(block).status == "npu_version_mismatch"


def test_every_truncation_is_refused(driver: Driver) -> None:
    whole = command_block(STREAM)
    for length in range(len(whole)):
        result = driver.invoke(whole[:length])
        assert (result.status, result.log, result.reads) == ("npu_bad_stream", [], {})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"COP2" + command_block(STREAM)[4:], id="another fourcc"),
        pytest.param(command_block(STREAM) + bytes(4), id="a word too much"),
        pytest.param(command_block(STREAM) + bytes(2), id="two bytes too much"),
        pytest.param(b"COP1" + struct.pack("<4I", 9, 2 | 1 << 16, 0, 0), id="an unknown action"),
        pytest.param(b"COP1" + struct.pack("<2I", 2 | 1 << 16, 0), id="no configuration"),
        pytest.param(
            b"COP1" + struct.pack("<4I", 1, *U55_128, 2 | 1 << 8), id="2^16 words that are not there"
        ),
        pytest.param(b"COP1" + struct.pack("<4I", 1, *U55_128, 2 | 0xFFFFFF << 8), id="2^24 - 1 words"),
        pytest.param(b"COP1" + struct.pack("<5I", 1, *U55_128, 5, 5), id="no stream"),
    ],
)
def test_a_corrupt_block_is_refused(driver: Driver, data: bytes) -> None:
    """Before the NPU is touched."""
    result = driver.invoke(data)
    assert (result.status, result.log, result.reads) == ("npu_bad_stream", [], {})


def test_a_stream_of_more_than_65535_words(driver: Driver) -> None:
    """The length's high byte lies apart from its low ones."""
    words = [0xFFFF_0000] * 0x1_0003
    result = driver.invoke(command_block(words))
    assert result.status == "ok" and (QSIZE, 4 * 0x1_0003) in result.writes


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_never_reaches_beyond_the_block(driver: Driver, data: st.DataObject) -> None:
    """The driver and the Python reader refuse the same blocks; the sanitizers watch the driver."""
    from mcu_sdk.errors import PteError

    whole = bytearray(command_block(STREAM))
    position = data.draw(st.integers(0, 31), "position")  # of the stream itself the driver reads nothing
    whole[position] = data.draw(st.integers(0, 255), "value")
    try:
        read_stream(bytes(whole))
        corrupt = False
    except PteError:
        corrupt = True
    assert (driver.invoke(bytes(whole)).status == "npu_bad_stream") == corrupt


# ---- ethos_u_run: what the plan calls


def test_a_run_hands_over_weights_and_scratch(driver: Driver) -> None:
    """Region 0 the weights, 1 and 2 the scratch; caches are cleaned before, the scratch's invalidated after."""
    result = driver.invoke(status=[0, DONE], end="run")
    size = len(command_block(STREAM))
    assert result.other == [
        ("clean", "commands", str(size)),
        ("clean", "weights", "8"),
        ("clean", "scratch", "24"),
        ("invalidate", "scratch", "24"),
        ("returned",),
    ]
    assert result.log.index(("write", str(RESET), "1")) == 3
    assert result.log.index(("write", str(CMD), "0")) == len(result.log) - 3
    weights, scratch = result.places["weights"], result.places["scratch"]
    expected = [half for address in (weights, scratch, scratch) for half in halves(address)]
    assert [value for offset, value in result.writes if offset >= BASEP] == expected
    assert (REGIONCFG, 0b00_00_11) in result.writes


@pytest.mark.parametrize(
    "status, message",
    [
        ([IN_RESET], "npu_stuck_in_reset"),
        ([0, RAISED | BUS], "npu_bus_error"),
        ([0, RAISED], "npu_ended_early"),
    ],
)
def test_a_run_that_fails_tells_once(driver: Driver, status: list[int], message: str) -> None:
    result = driver.invoke(status=status, end="run")
    assert [line for line in result.log if line[0] == "failed"] == [("failed", message)]


def test_a_run_of_a_corrupt_block_touches_nothing(driver: Driver) -> None:
    result = driver.invoke(b"COP0", end="run")
    assert ("failed", "npu_bad_stream") in result.log and result.writes == [] and result.reads == {}
