"""Boards that do not exist, do not describe one, or are too small for the model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.board.board import board_names

Refused = Callable[..., str]
Spoiled = Callable[..., Path]

INVALID, TOO_LARGE = 3, 5


@pytest.fixture
def spoiled(tmp_path: Path) -> Spoiled:
    """`spoiled(old, new, ...)`: a copy of corstone-300's folder whose board.toml has each `old` replaced."""

    def copy(*changes: str) -> Path:
        folder = tmp_path / "my-board"
        shutil.copytree(resources.boards() / "corstone-300", folder)
        file = folder / "board.toml"
        text = file.read_text(encoding="utf-8")
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new, 1)
        file.write_text(text, encoding="utf-8")
        return folder

    return copy


@pytest.fixture
def generate(project: Path) -> Callable[..., list[str]]:
    """A command line for the tiny language model and a board."""
    return lambda board, *more: [
        "generate",
        f"--board={board}",
        f"--pte={project / 'model' / 'model.pte'}",
        *more,
    ]


@pytest.mark.parametrize(
    "name",
    [
        "no-such-board",
        "",
        " ",
        "Host",
        "host ",
        "../boards/host",
        "./nowhere",
        "/etc",
        "/etc/passwd",
        "$(touch owned)",
        "host\nname",
        "日本",
        "x" * 300,
        "y" * 300 + "/",
    ],
)
def test_an_unknown_board(name: str, refused: Refused, generate: Callable[..., list[str]]) -> None:
    message = refused(generate(name), INVALID)
    if name != "/etc/passwd":
        assert ", ".join(board_names()) in message


CHANGES = {
    "a wrong key": ("stack_bytes = 2048", "stack_byte = 2048", "stack_byte"),
    "a wrong key in a table": ("fpu = true", "fpuu = true", "core.fpuu"),
    "a wrong key in a region": ("speed = 2", "sped = 2", "sped"),
    "an unknown table": ("[semihosting]", "[semihost]", "semihost"),
    "a missing table": ('[uart]\ndriver = "cmsdk"', "[unknown]", "unknown"),
    "overlapping regions": (
        'name = "sram"\norigin = 0x0100_0000',
        'name = "sram"\norigin = 0x0007_0000',
        "overlap",
    ),
    "the same region twice": ('name = "sram"', 'name = "itcm"', "two regions"),
    "beyond 4 GB": ('size = "256M"', 'size = "4000M"', "32-bit"),
    "a size that is none": ('size = "256M"', 'size = "large"', "size"),
    "a size of nothing": ('size = "256M"', "size = 0", "size"),
    "a negative size": ('size = "256M"', "size = -1", "size"),
    "a region that is none": ('stack = "dtcm"', 'stack = "nowhere"', "nowhere"),
    "variables in ROM": ('stack = "dtcm"', 'stack = "qspi"', "qspi"),
    "a stack that is too small": ("stack_bytes = 2048", "stack_bytes = 8", "stack_bytes"),
    "a flag with a command": ('"-mthumb"', '"; touch owned"', "flags"),
    "a name with a path": ('name = "corstone-300"', 'name = "../../owned"', "name"),
    "a region's name with code": ('name = "qspi"', 'name = "q; } INSERT"', "name"),
    "a driver with a path": ('driver = "cmsdk"', 'driver = "../../owned"', "driver"),
    "no TOML": ("[core]", "[core", "TOML"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_board_file_that_describes_none(
    what: str, refused: Refused, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    old, new, word = CHANGES[what]
    message = refused(generate(spoiled(old, new)), INVALID, "board.toml", word)
    assert "docs/boards.md" in message


CORES = {
    "no FPU": ("fpu = true", "fpu = false", "core.fpu = false, and with core.flags the compiler uses an FPU"),
    "soft float": ("-mfloat-abi=hard", "-mfloat-abi=soft", "would not use an FPU"),
    "an unknown core": ("-mcpu=cortex-m55", "-mcpu=cortex-m56", "cortex-m56"),
    "a core that has less": ('cpu = "cortex-m55"', 'cpu = "cortex-m4"', "Helium"),
}


@pytest.mark.parametrize("what", CORES)
def test_a_core_that_nothing_can_be_compiled_for(
    what: str, refused: Refused, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    """Said at generation, not by the linker."""
    old, new, word = CORES[what]
    changes = (
        (old, new)
        if what != "a core that has less"
        else (old, new, 'target = "cortex-m55"', f"target = {new[6:]}")
    )
    refused(generate(spoiled(*changes)), INVALID, word)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a = 1\n" * 100, b"a = " + b"[" * 100_000])
def test_a_board_file_that_is_anything_else(
    content: bytes, refused: Refused, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    folder = spoiled()
    (folder / "board.toml").write_bytes(content)
    refused(generate(folder), INVALID, "board.toml")


@pytest.mark.parametrize("driver", ["cmsdk", "sse300"])
def test_a_driver_that_does_not_exist(
    driver: str, refused: Refused, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    board = spoiled(f'driver = "{driver}"', 'driver = "nothing"')
    refused(generate(board), INVALID, "nothing", "board.toml")


def test_the_board_that_the_others_spoil_is_fine(
    work: Path, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    from mcu_sdk import cli

    assert cli.run(generate(spoiled(), "--output=out")) == 0


# ---- sizes


def over_by(message: str) -> int:
    found = re.search(r"over by ([\d,]+) bytes", message)
    assert found, message
    return int(found[1].replace(",", ""))


SMALL = {
    # What is too small, the change, the region that is told, the title of what is in it, the advice.
    "kv cache": (
        ('kv_cache = ["dtcm", "isram", "ddr"]', 'kv_cache = ["qram"]'),
        "qram",
        "KV cache",
        "--max-cache-len ",
    ),
    "arena": (
        ('arena = ["dtcm", "isram", "ddr"]', 'arena = ["qram"]'),
        "qram",
        "arena",
        "it fits --board alif-ensemble-e8-he, alif-ensemble-e8-hp, corstone-300, among others",
    ),
    "weights": (
        ('weights = ["sram", "isram", "ddr"]', 'weights = ["qram"]'),
        "qram",
        "weights",
        "smaller model",
    ),
    "stack": (("stack_bytes = 2048", 'stack_bytes = "512K"'), "dtcm", "stack", "stack_bytes = "),
    "code": (('size = "512K"', 'size = "4K"'), "itcm", "code", "more memory"),
}


@pytest.mark.parametrize("what", SMALL)
def test_a_model_that_is_too_large_for_a_region(
    what: str, refused: Refused, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    change, region, title, advice = SMALL[what]
    small = '[[region]]\nname = "qram"\norigin = 0x7000_0000\nsize = 1024\nkind = "ram"\n\n# Of several'
    folder = spoiled(*change, "# Of several", small)
    message = refused(generate(folder), TOO_LARGE, f"'{region}'", title, advice)
    assert over_by(message) > 0


@pytest.mark.slow
def test_the_length_that_is_advised_fits(
    refused: Refused,
    spoiled: Spoiled,
    generate: Callable[..., list[str]],
    checkpoint: Callable[[str], Path],
) -> None:
    """The KV cache of 16 positions against a region of 1 KiB; the advice, followed, generates."""
    from mcu_sdk import cli

    small = '[[region]]\nname = "qram"\norigin = 0x7000_0000\nsize = 1024\nkind = "ram"\n\n# Of several'
    board = spoiled("# Of several", small, 'kv_cache = ["dtcm", "isram", "ddr"]', 'kv_cache = ["qram"]')
    message = refused(generate(board), TOO_LARGE, "'qram'", "KV cache", "(now 16)")
    found = re.search(r"--max-cache-len (\d+)", message)
    assert found and 1 <= int(found[1]) < 16
    command = ["generate", f"--board={board}", "--model", str(checkpoint("llama-odd"))]
    assert cli.run([*command, "--output=out", f"--max-cache-len={found[1]}"]) == 0


def test_every_region_that_is_over_is_told_at_once(
    refused: Refused, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    small = '[[region]]\nname = "qram"\norigin = 0x7000_0000\nsize = 64\nkind = "ram"\n\n# Of several'
    changes = (
        "# Of several",
        small,
        'size = "512K"',
        'size = "4K"',
        'arena = ["dtcm", "isram", "ddr"]',
        'arena = "qram"',
    )
    message = refused(generate(spoiled(*changes)), TOO_LARGE, "'itcm' of 4,096 bytes", "'qram' of 64 bytes")
    assert len(re.findall(r"over by [\d,]+ bytes", message)) == 2


def test_the_stack_that_is_advised_fits(
    refused: Refused, spoiled: Spoiled, generate: Callable[..., list[str]]
) -> None:
    from mcu_sdk import cli

    message = refused(generate(spoiled("stack_bytes = 2048", 'stack_bytes = "512K"')), TOO_LARGE)
    found = re.search(r"stack_bytes = (\d+) in", message)
    assert found
    folder = Path("taking-advice")
    shutil.copytree(resources.boards() / "corstone-300", folder)
    text = (folder / "board.toml").read_text()
    (folder / "board.toml").write_text(text.replace("stack_bytes = 2048", f"stack_bytes = {found[1]}"))
    assert cli.run(generate(f"./{folder}", "--output=out")) == 0
