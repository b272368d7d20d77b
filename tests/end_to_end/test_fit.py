"""The bytes that `generate` says each region will hold are those that the linker puts there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.models import module_pte
from mcu_sdk import cli
from mcu_sdk.board.board import Board, load_board
from mcu_sdk.generated import Generated
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.elf import read_sizes
from tests.checkpoints import FAMILIES, make_checkpoint

BOARDS = ("corstone-300", "mps2-an386", "mps2-an500")
LENGTH = 16


def linked(elf: Path, board: Board) -> dict[str, int]:
    """The bytes of each region from its origin to the last that something lies in."""
    ends = {region.name: region.origin for region in board.region}
    for section in read_sizes(elf).sections:
        for address in {section.address, section.address if section.load is None else section.load}:
            region = next(r for r in board.region if r.origin <= address < r.end)
            ends[region.name] = max(ends[region.name], address + section.size)
    return {region.name: ends[region.name] - region.origin for region in board.region}


def hold(made: Generated, board: str) -> None:
    """Never under, and at most 5 % over; the code, which alone is not planned, to the byte."""
    program = build(made.project).program
    found, sizes = linked(program, load_board(board)), read_sizes(program)
    assert found.keys() == made.layout.used.keys()
    for region, used in made.layout.used.items():
        assert found[region] <= used <= found[region] * 1.05, (region, found, made.layout.used)
    assert made.sizes is not None and not made.sizes.code_is_bound
    code = sizes.flash - sizes.weights - sizes.size(".vectors") - sizes.data - sizes.size(".tokenizer")
    assert abs(made.sizes.code - code) < 16  # what aligns the sections of code
    assert (made.sizes.tokenizer, made.sizes.data) == (sizes.size(".tokenizer"), sizes.data)
    assert made.sizes.bss == sizes.bss


def test_a_tensor_model(shared_folder: Path, tmp_path: Path) -> None:
    pte = module_pte("mlp", shared_folder)
    for board, optimize in (("corstone-300", "speed"), ("mps2-an386", "size")):
        request = GenerateRequest(
            board, CompileOptions(), pte=pte, output=tmp_path / board, optimize=optimize
        )  # type: ignore[arg-type]
        hold(generate(request), board)


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.matrix) for turn in (1, 2))])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_on_every_board(
    family: str, turn: int, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """For both optimizations, and with instructions counted by call: one of these a board and turn, each in every turn."""
    model = str(checkpoint(family))
    extras = ({}, {"optimize": "size"}, {"profile": True})
    for number, board in enumerate(BOARDS):
        extra = extras[(FAMILIES.index(family) + number + turn) % len(extras)]
        output = tmp_path / board
        request = GenerateRequest(board, CompileOptions(LENGTH), model=model, output=output, **extra)  # type: ignore[arg-type]
        hold(generate(request), board)


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_int4_weights_static_scales_and_a_tokenizer(
    board: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    int4 = CompileOptions(LENGTH, weights="int4")
    hold(generate(GenerateRequest(board, int4, model=str(checkpoint("qwen3")), output=tmp_path / "a")), board)
    static = CompileOptions(LENGTH, "static", "dynamic")
    hold(generate(GenerateRequest(board, static, output=tmp_path / "b")), board)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ethos-u55-128", "ethos-u65-256"])
def test_on_an_npu(target: str, tmp_path: Path) -> None:
    model = str(make_checkpoint("llama-mha-tied", tmp_path, num_hidden_layers=1))
    request = GenerateRequest(
        "corstone-300", CompileOptions(LENGTH), model=model, target=target, output=tmp_path / "p"
    )
    hold(generate(request), "corstone-300")


@pytest.mark.slow
def test_without_a_compiler_the_bound_is_never_under(
    checkpoint: Callable[[str], Path], shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an image of 9 KB is still accepted on 64 KB of flash, which is a matter of one kernel."""
    requests = [
        GenerateRequest(board, options, output=tmp_path / f"{board}-{number}", **source)  # type: ignore[arg-type]
        for board in BOARDS
        for number, (options, source) in enumerate(
            (
                (CompileOptions(LENGTH), {"model": str(checkpoint("gpt2"))}),
                (CompileOptions(), {"pte": module_pte("mlp", shared_folder)}),
                (CompileOptions(LENGTH), {}),
            )
        )
    ]
    with monkeypatch.context() as without:
        without.setattr("mcu_sdk.project.trial.LINKER", "no-such-compiler")
        made = [generate(request) for request in requests]
    for one in made:
        assert one.sizes is not None and one.sizes.code_is_bound
        found = read_sizes(build(one.project).program)
        assert one.sizes.code >= found.code - found.size(".tokenizer") - found.size(".vectors") - found.data
        assert one.sizes.tokenizer >= found.size(".tokenizer") and one.sizes.bss + one.sizes.data >= found.bss + found.data  # fmt: skip


# ---- advice


def small_board(folder: Path, flash: int, ram: int) -> Path:
    """A Cortex-M4 with `flash` and `ram` bytes."""
    folder.mkdir()
    (folder / "board.toml").write_text(
        f"""name = "small"
description = "A Cortex-M4"
stack_bytes = 2048
[core]
cpu = "cortex-m4"
fpu = true
dsp = true
flags = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard"]
[[region]]
name = "flash"
origin = 0x0800_0000
size = {flash}
kind = "rom"
[[region]]
name = "ram"
origin = 0x2000_0000
size = {ram}
kind = "ram"
[placement]
vectors = "flash"
code = "flash"
weights = "flash"
data = "ram"
arena = "ram"
kv_cache = "ram"
stack = "ram"
[uart]
driver = "cmsdk"
base = 0x4000_4000
clock_hz = 25_000_000
"""
    )
    return folder


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    capfd.readouterr()
    assert cli.run(["--quiet", "generate", *arguments]) == 5
    return " ".join(capfd.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.parametrize("what", ["--optimize size", "--max-cache-len", "--weights int4"])
def test_what_is_advised_fits(
    what: str, checkpoint: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A board that is too small by a little, and a model that each option makes smaller."""
    source = ["--model", str(checkpoint("llama-mha-tied")), "--output", str(tmp_path / "p")]
    roomy = small_board(tmp_path / "roomy", 8 << 20, 8 << 20)
    capfd.readouterr()
    assert cli.run(["generate", *source, "--board", str(roomy), "--json"]) == 0
    used = json.loads(capfd.readouterr().out)["used_bytes"]
    flash, ram = used["flash"], used["ram"]
    if what == "--max-cache-len":
        ram -= 64
    else:
        flash -= 64
    board = small_board(tmp_path / "small", flash, ram)
    told = refused(capfd, *source, "--board", str(board))
    over = "ram" if what == "--max-cache-len" else "flash"
    assert f"region '{over}'" in told and "over by 64 bytes" in told and what in told
    option = what.split()
    if what == "--max-cache-len":
        option.append(told.split("--max-cache-len ")[1].split()[0])
    assert cli.run(["generate", *source, "--board", str(board), *option]) == 0
    build(tmp_path / "p")
