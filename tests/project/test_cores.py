"""The tiny model on every board that QEMU has: the host's bits, exact counts, and only instructions that the core has."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk.board.board import Board, list_boards, load_board
from mcu_sdk.errors import BuildError
from mcu_sdk.project.build import build
from mcu_sdk.project.elf import uses_helium
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request

SIMULATED = [board for board in list_boards() if "qemu" in board.simulator and board.core.fpu]
"""The tiny model is float; tests/recipes has one of integers for the others."""
BOARDS = [board for board in SIMULATED if board.semihosting.exit]
SILICON = [board for board in SIMULATED if not board.semihosting.exit]
"""Their firmware is what silicon runs: no semihosting, which ends a run of the others, and no counter that QEMU has."""
REQUESTS = b"@run tokens=8 temperature=0 ids=1,2,3\n@run tokens=5 temperature=1.5 seed=9 ids=3\n\x04"
HELIUM = re.compile(r"\b(vctp|vmlad|vmlal|vpst|wlstp|dlstp|letp|lctp|vld[24]\d|vldr[bhw]\.\w+\s+q)")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, tiny_inputs: Callable[..., ProjectInputs]) -> dict:
    folder = tmp_path_factory.mktemp("cores")
    projects = {board.name: render_project(tiny_inputs(board), folder / board.name) for board in BOARDS}
    return {name: build(project).program for name, project in projects.items()}


def with_clang(name: str, cpu: str) -> Board:
    """A packaged board, compiled by clang, for a core that runs on the same simulator."""
    board = load_board(name)
    flags = tuple(flag.replace(board.core.cpu, cpu) for flag in board.core.flags)
    core = board.core.model_copy(update={"cpu": cpu, "flags": flags})
    return board.model_copy(update={"toolchain": "clang", "core": core})


@pytest.mark.parametrize(
    ("board", "cpu"),
    [
        ("corstone-300", "cortex-m55"),
        pytest.param("corstone-300", "cortex-m85", marks=pytest.mark.slow),
        pytest.param("mps2-an386", "cortex-m4", marks=pytest.mark.slow),
        pytest.param("mps2-an505", "cortex-m33", marks=pytest.mark.slow),
    ],
)
def test_clang_gives_the_same_bits(
    board: str,
    cpu: str,
    tmp_path: Path,
    tiny_inputs: Callable[..., ProjectInputs],
    tiny_project: Path,
    on_host: Callable,
    on_qemu: Callable,
) -> None:
    """Also for a Cortex-M85, which GCC 12 does not know, on the simulated Cortex-M55; with a proven stack."""
    project = render_project(tiny_inputs(with_clang(board, cpu)), tmp_path / "project")
    built = build(project)
    assert built.stack is not None and built.stack.bytes is not None and built.libraries
    assert uses_helium(built.program) is load_board(board).core.helium
    code, device = on_qemu(built.program, REQUESTS, board)
    host = on_host(tiny_project / "build/host/firmware", REQUESTS)
    assert code == 0 and device.count(b"@mcu verdict=ok\n") == 2
    digests = [line for line in facts(host) if line.startswith(("digest", "ids", "tokens"))]
    assert digests == [line for line in facts(device) if line.startswith(("digest", "ids", "tokens"))]
    used = [int(value) for value in re.findall(rb"stack_used=(\d+)", device)]
    assert used and max(used) <= built.stack.bytes
    assert b"clang" in comment_of(built.program)


def comment_of(program: Path) -> bytes:
    """Which compiler made it, as its debugging information says."""
    command = ["arm-none-eabi-objdump", "--dwarf=info", str(program)]
    listing = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return b"\n".join(line for line in listing.splitlines() if b"DW_AT_producer" in line)


def facts(output: bytes) -> list[str]:
    lines = [line.decode() for line in re.findall(rb"@mcu (.*)", output)]
    return [re.sub(r" (stack_used|board)=\S+", "", line) for line in lines if not line.startswith("instr")]


def test_the_cores_differ() -> None:
    assert {"cortex-m4", "cortex-m7", "cortex-m55"} <= {board.core.cpu for board in BOARDS}


@pytest.mark.parametrize("board", [board.name for board in BOARDS])
def test_a_core_computes_what_the_host_computes(
    board: str, programs: dict, tiny_project: Path, on_host: Callable, on_qemu: Callable
) -> None:
    host = on_host(tiny_project / "build/host/firmware", REQUESTS)
    code, device = on_qemu(programs[board], REQUESTS, board)
    assert code == 0 and device.count(b"@mcu verdict=ok\n") == 2
    digests = [line for line in facts(device) if line.startswith(("digest", "ids", "tokens"))]
    assert digests and digests == [
        line for line in facts(host) if line.startswith(("digest", "ids", "tokens"))
    ]


@pytest.mark.parametrize("board", SILICON, ids=lambda board: board.name)
def test_what_silicon_runs_computes_the_same_in_qemu(
    board: Board, tmp_path: Path, tiny_inputs: Callable[..., ProjectInputs], tiny_project: Path
) -> None:
    program = build(render_project(tiny_inputs(board), tmp_path / "project")).program
    request = Request(ids=(1, 2, 3), tokens=8)
    device = qemu.run(board, program, request, timeout=60)
    computed = host.run(tiny_project / "build/host/firmware", request)
    assert device.ids and (device.ids, device.digest) == (computed.ids, computed.digest)


@pytest.mark.parametrize("board", [board.name for board in BOARDS])
def test_counts_are_exact(board: str, programs: dict, on_qemu: Callable) -> None:
    """No branch of the tiny kernel depends on data: every step takes the same, to the instruction."""
    output = on_qemu(programs[board], REQUESTS, board)[1]
    assert b"@mcu counter=instructions\n" in output
    counts = re.findall(rb"instructions_first=(\d+) instructions_last=(\d+) instructions_total=(\d+)", output)
    tokens = [int(number) for number in re.findall(rb"@mcu tokens=(\d+)", output)]
    assert len(counts) == 2
    for (first, last, total), prompt, made in zip(counts, (3, 1), tokens, strict=True):
        assert int(first) == int(last) > 100
        assert int(total) == (prompt + made - 1) * int(first)


@pytest.mark.parametrize("board", [board.name for board in BOARDS])
def test_helium_code_is_only_where_helium_is(board: str, programs: dict) -> None:
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-d", "--no-show-raw-insn", programs[board]],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    helium = load_board(board).core.helium
    assert uses_helium(programs[board]) is helium
    assert helium or not HELIUM.search(listing)


def test_helium_code_for_a_core_without_it_is_refused(
    tmp_path: Path, tiny_inputs: Callable[..., ProjectInputs]
) -> None:
    board = load_board("corstone-300")
    board = board.model_copy(update={"core": board.core.model_copy(update={"helium": False})})
    project = render_project(replace(tiny_inputs(), board=board), tmp_path / "project")
    with pytest.raises(BuildError, match="no Helium"):
        build(project)
