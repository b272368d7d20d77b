"""The NPU's driver, compiled with sanitizers, over registers that the test scripts."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcu_sdk import resources
from mcu_sdk.project.compile_flags import SANITIZERS, cxx_flags
from tests.npu.blobs import U55_128, command_block

FLAGS = cxx_flags(None, "-O1", "-g", *SANITIZERS)

U65_256 = (0x10003008, 0x10066001)
U85_256 = (0x20000018, 0x20000000)
HEALTHY = "04=0,1,1,22"
"""STATUS: out of reset; running, running; then the interrupt and the stream's end."""

STREAM = [0x12345678] * 5
HEADER_BYTES = 32  # of what command_block puts before the stream

AXI = [f"w {offset:02x} f1f0030" for offset in (0x40, 0x44, 0x48, 0x4C)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    firmware = resources.firmware()
    driver = firmware / "drivers" / "ethos_u"
    program = tmp_path_factory.mktemp("ethos_u") / "driver"
    sources = [
        Path(__file__).with_name("ethos_u_driver.cpp"),
        driver / "ethos_u.cpp",
        driver / "ethos_u_run.cpp",
    ]
    command = ["g++", *FLAGS, f"-I{firmware}", *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


class Log:
    """What the driver did, with the addresses of the command block, the weights and the scratch by name."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.addresses = {name: int(value, 16) for name, value in map(str.split, self.lines[:3])}
        self.lines = self.lines[3:]

    @property
    def writes(self) -> list[str]:
        return [line for line in self.lines if line.startswith("w ")]

    @property
    def reads(self) -> int:
        return sum(line.startswith("r ") for line in self.lines)

    @property
    def outcome(self) -> str:
        return self.lines[-1]

    def address(self, offset: int, name: str, more: int = 0) -> list[str]:
        """The two writes that set a 64-bit register to the address."""
        value = self.addresses[name] + more
        return [f"w {offset:02x} {value & 0xFFFFFFFF:x}", f"w {offset + 4:02x} {value >> 32:x}"]


def run(
    program: Path,
    *scripts: str,
    polls: int = 20,
    commands: bytes | None = None,
    hardware: tuple[int, int] = U55_128,
) -> Log:
    commands = command_block(STREAM) if commands is None else commands
    npu = [f"28={hardware[0]:x}", f"00={hardware[1]:x}"]
    result = subprocess.run(
        [program, str(polls), *npu, *scripts], input=commands, stdout=subprocess.PIPE, check=True, timeout=20
    )
    return Log(result.stdout.decode())


def expected_writes(log: Log, memory: list[str], bases: list[str], ports: str) -> list[str]:
    return [
        "w 0c 1",  # RESET: privileged, secure
        *memory,
        "w 1c 2",  # QCONFIG
        f"w 3c {ports}",  # REGIONCFG
        *log.address(0x10, "commands", HEADER_BYTES),  # QBASE
        f"w 20 {4 * len(STREAM):x}",  # QSIZE
        *bases,
        "w 08 1",  # CMD: run
        "w 08 2",  # clear the interrupt
        "w 08 c",  # clock and power may go
    ]


def test_every_register_is_written_in_order(program: Path) -> None:
    log = run(program, HEALTHY)
    bases = [*log.address(0x80, "weights"), *log.address(0x88, "scratch")]
    assert log.writes == expected_writes(log, AXI, bases, "3")
    assert log.outcome == "outcome ok 22 0"
    assert log.addresses["commands"] % 16 == 0, "the stream would not be at a multiple of 16 bytes"


def test_a_plan_s_call_gives_two_regions_and_keeps_the_cache_in_order(program: Path) -> None:
    log = run(program, HEALTHY, polls=0)
    bases = [*log.address(0x80, "weights"), *log.address(0x88, "scratch")]
    assert log.writes == expected_writes(log, AXI, bases, "3")
    hooks = [line for line in log.lines if re.match("clean|invalidate|failed", line)]
    assert hooks == ["clean commands 52", "clean weights 64", "clean scratch 128", "invalidate scratch 128"]
    assert log.lines.index("clean scratch 128") < log.lines.index("w 08 1") < log.lines.index(hooks[-1])


def test_four_questions_are_enough_when_the_answers_are_there(program: Path) -> None:
    """Beside QEMU each read is a round trip of a quarter of a millisecond."""
    assert run(program, "04=0,22").reads == 4


def test_a_u65_takes_the_same_writes(program: Path) -> None:
    log = run(program, HEALTHY, hardware=U65_256, commands=command_block(STREAM, U65_256))
    bases = [*log.address(0x80, "weights"), *log.address(0x88, "scratch")]
    assert log.writes == expected_writes(log, AXI, bases, "3")


def test_a_u85_has_memory_attributes_and_two_kinds_of_ports(program: Path) -> None:
    log = run(program, HEALTHY, hardware=U85_256, commands=command_block(STREAM, U85_256))
    memory = ["w 40 30", "w 44 30", "w 48 34", "w 4c 34", "w 50 f1f", "w 54 f1f"]
    bases = [*log.address(0x80, "weights"), *log.address(0x88, "scratch")]
    assert log.writes == expected_writes(log, memory, bases, "3")


# ---- what can go wrong, each with an error of its own

FAULTS = {
    "npu_bus_error": "04=0,1,6",
    "npu_parse_error": "04=0,1,12",
    "npu_memory_fault": "04=0,1,102",
    "npu_stream_fault": "04=0,1,82",
    "npu_ended_early": "04=0,1,2",
    "npu_timeout": "04=0,1",
}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_run_that_fails_says_how_where_and_stops_the_npu(program: Path, reason: str) -> None:
    log = run(program, FAULTS[reason], "18=c")
    status = FAULTS[reason].rsplit(",")[-1]
    assert log.outcome == f"outcome {reason} {status} 12"
    assert log.writes[-2:] == ["w 08 1", "w 0c 1"], "a failed NPU is reset"


def test_a_branch_fault_of_the_u85_is_a_fault_of_the_stream(program: Path) -> None:
    log = run(program, "04=0,202", hardware=U85_256, commands=command_block(STREAM, U85_256))
    assert log.outcome == "outcome npu_stream_fault 202 0"


def test_a_hung_npu_is_asked_as_often_as_allowed(program: Path) -> None:
    log = run(program, "04=0,1", polls=7)
    after = log.lines[log.lines.index("w 08 1") + 1 :]
    assert after[:7] == ["r 04 1"] * 7 and after[7] == "r 18 0"
    assert log.outcome == "outcome npu_timeout 1 0"


def test_an_npu_that_stays_in_reset_is_given_up(program: Path) -> None:
    log = run(program, "04=8")
    assert log.outcome == "outcome npu_stuck_in_reset 8 0"
    assert log.writes == ["w 0c 1"] and log.reads < 100_000


NOT_THIS_NPU = {
    "other MACs": (U55_128[0] + 1, U55_128[1]),
    "other product": (U55_128[0] | 1 << 28, U55_128[1]),
    "other stream version": (U55_128[0] | 1 << 4, U55_128[1]),
    "other architecture": (U55_128[0], 0x20066001),
}


@pytest.mark.parametrize("what", NOT_THIS_NPU)
def test_a_stream_for_another_npu_is_not_run(program: Path, what: str) -> None:
    log = run(program, HEALTHY, hardware=NOT_THIS_NPU[what])
    assert log.outcome == "outcome npu_version_mismatch 0 0"
    assert log.writes == ["w 0c 1"]


def test_a_stream_for_a_newer_architecture_is_not_run(program: Path) -> None:
    newer = command_block(STREAM, (U55_128[0], 0x10206001))
    assert run(program, HEALTHY, commands=newer).outcome == "outcome npu_version_mismatch 0 0"


def test_newer_hardware_of_the_same_architecture_runs_the_stream(program: Path) -> None:
    assert run(program, HEALTHY, hardware=(U55_128[0], 0x10106001)).outcome == "outcome ok 22 0"


@pytest.mark.parametrize(("config", "identity"), [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_an_address_without_an_npu_is_told_apart(program: Path, config: int, identity: int) -> None:
    assert run(program, hardware=(config, identity)).outcome == "outcome npu_not_found 0 0"


def test_a_failed_call_of_the_plan_is_told_with_the_status(program: Path) -> None:
    log = run(program, "04=0,6", "18=8", polls=0)
    assert log.lines[-2:] == ["invalidate scratch 128", "failed npu_bus_error 6 8"]


# ---- command blocks

WHOLE = command_block(STREAM)
BAD_BLOCKS = {
    "nothing": b"",
    "three bytes": WHOLE[:3],
    "another magic": b"COP2" + WHOLE[4:],
    "no stream": WHOLE[:HEADER_BYTES - 4],
    "a stream that is cut": WHOLE[:-4],
    "a byte less": WHOLE[:-1],
    "no configuration": struct.pack("<3I", 0x31504F43, 0x00010002, 0),
    "a configuration that is cut": struct.pack("<3I", 0x31504F43, 0x00100001, 0),
    "an unknown action": struct.pack("<2I", 0x31504F43, 9) + WHOLE[4:],
    "more than the stream": WHOLE + bytes(4),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_BLOCKS)
def test_a_bad_command_block_never_reaches_the_npu(program: Path, what: str) -> None:
    log = run(program, HEALTHY, commands=BAD_BLOCKS[what])
    assert log.lines == ["outcome npu_bad_stream 0 0"]


def test_a_stream_of_more_than_65535_words_has_its_length(program: Path) -> None:
    """The block's 24-bit length: its high byte lies below the low ones. The stream is cut, so that nothing runs."""
    words = struct.pack("<4I", 0x31504F43, 0x00100001, *U55_128)
    declared = 0x010002
    action = struct.pack("<I", 2 | (declared >> 16) << 8 | (declared & 0xFFFF) << 16)
    assert run(program, HEALTHY, commands=words + action + bytes(8)).outcome.startswith(
        "outcome npu_bad_stream"
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255), cut=st.integers(0, len(WHOLE)))
def test_damaged_blocks_are_read_without_a_fault(program: Path, position: int, value: int, cut: int) -> None:
    data = bytearray(WHOLE)
    data[position] = value
    outcome = run(program, HEALTHY, commands=bytes(data[:cut])).outcome
    assert re.fullmatch(r"outcome (ok 22|npu_\w+ 0) 0", outcome)
