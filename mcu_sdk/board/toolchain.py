"""The compilers that a project can be built with: what each is called, and how its flags differ.

GCC for bare metal links in any case: its linker reads the generated script, and newlib's nano libraries and libgcc are
its own. Clang takes newlib's headers from it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

ToolchainName = Literal["gcc", "clang"]

LINKER = "arm-none-eabi-g++"
"""The driver that links, and that knows where newlib is."""

GCC_PACKAGES = "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib"

OLDER = {"cortex-m52": "cortex-m55", "cortex-m85": "cortex-m55"}
"""Cores that GCC 12 does not know, and known ones of the same architecture and FPU, whose libraries they take."""


@dataclass(frozen=True)
class Toolchain:
    """A compiler. `compilers`: its names, the first that is installed is taken; `install`: the line that installs it.

    `target` goes before the core's flags. `whole_program`: whether its objects can be optimized when linked (-flto).
    """

    name: str
    compilers: tuple[str, ...]
    install: str
    target: tuple[str, ...] = ()
    whole_program: bool = True

    @property
    def c_compilers(self) -> tuple[str, ...]:
        """The names of its C compiler."""
        return tuple(name.replace("clang++", "clang").replace("g++", "gcc") for name in self.compilers)

    @property
    def compiler(self) -> str | None:
        """The path of the C++ compiler; None where it is not installed."""
        return next(filter(None, map(shutil.which, self.compilers)), None)

    @property
    def is_clang(self) -> bool:
        return self.name == "clang"

    def compile_flags(self, core: Sequence[str]) -> list[str]:
        """What selects the core, `core.flags` of a board, and where newlib's headers are."""
        return [*self.target, *core, *(newlib(tuple(self.link_flags(core))) if self.is_clang else ())]

    def link_flags(self, core: Sequence[str]) -> list[str]:
        """The same for LINKER: it chooses libraries by them."""
        if not self.is_clang:
            return list(core)
        return [*older_core(core), *_PLAIN_STACK]


TOOLCHAINS: dict[ToolchainName, Toolchain] = {
    "gcc": Toolchain("gcc", ("arm-none-eabi-g++",), GCC_PACKAGES),
    # newlib is compiled with enums of variable size, as the ABI for bare metal has them; the linker compares.
    "clang": Toolchain(
        "clang",
        ("clang++-19", "clang++"),
        f"apt-get install clang-19; it takes headers and libraries of the other one: {GCC_PACKAGES}",
        ("--target=arm-none-eabi", "-fshort-enums", "-Wno-unused-command-line-argument"),
        whole_program=False,
    ),
}


_PLAIN_STACK = ("-Wl,-z,noexecstack",)
"""Clang's objects say that their stack is no code; without this the linker warns of GCC's, which do not say."""


def older_core(core: Sequence[str]) -> list[str]:
    """Flags of a core, with one in its place that older compilers know: -mcpu=cortex-m85+nopacbti -> -mcpu=cortex-m55."""
    return [_older(flag) for flag in core]


def _older(flag: str) -> str:
    match = re.fullmatch(r"-mcpu=([a-z0-9-]+)(\+.*)?", flag)
    return f"-mcpu={OLDER[match[1]]}" if match and match[1] in OLDER else flag


@cache
def newlib(core: tuple[str, ...]) -> tuple[str, ...]:
    """Where GCC for bare metal finds newlib and libstdc++, without GCC's own headers, as another compiler's options.

    Nothing without GCC. `core` are its flags for the core.
    """
    try:
        said = subprocess.run(
            [LINKER, *core, "-xc++", "-E", "-v", "-"],
            input="",
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        ).stderr
    except (OSError, subprocess.CalledProcessError):
        return ()
    folders = said.split("search starts here:")[-1].split("End of search")[0].split()
    own = re.compile(r"/lib/gcc/[^/]+/[\d.]+/include(-fixed)?$")
    return tuple(part for folder in folders if not own.search(folder) for part in ("-isystem", folder))
