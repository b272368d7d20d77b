"""What the linker took from archives, by its map."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mcu_sdk.project.elf import symbols
from mcu_sdk.project.map import library_parts

SOURCE = """#include <string.h>
extern "C" int main();
char text[64];
unsigned long long left = 7;
int main() { memmove(text + 1, text, strlen(text)); return int(left / strlen(text)); }
"""


def test_members_sizes_and_who_asked(tmp_path: Path) -> None:
    (tmp_path / "a.cpp").write_text(SOURCE)
    command = [
        "arm-none-eabi-g++",
        "-mcpu=cortex-m4",
        "-mthumb",
        "-O1",
        "a.cpp",
        "-nostartfiles",
        "-nodefaultlibs",
    ]
    link = ["--specs=nano.specs", "-Wl,-emain", "-Wl,-Map=a.map", "-lc", "-lgcc", "-o", "a.elf"]
    subprocess.run([*command, *link], cwd=tmp_path, check=True, timeout=60)
    parts = {part.symbol: part for part in library_parts(tmp_path / "a.map")}
    assert {"memmove", "strlen", "__aeabi_uldivmod", "__udivmoddi4"} <= set(parts)
    assert parts["memmove"].library == "libc_nano.a" and parts["__udivmoddi4"].library == "libgcc.a"
    assert "uldivmod" in parts["__udivmoddi4"].user and parts["memmove"].user.endswith(".o")
    assert set(parts) <= set(symbols(tmp_path / "a.elf"))
    table = subprocess.run(
        ["arm-none-eabi-nm", "-S", "a.elf"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    sizes = {
        line.split()[3]: int(line.split()[1], 16) for line in table.splitlines() if len(line.split()) == 4
    }
    # A member holds its function and what is aligned or constant beside it.
    for name in ("memmove", "strlen", "__udivmoddi4"):
        assert sizes[name] <= parts[name].bytes <= sizes[name] + 80
