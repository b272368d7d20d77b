"""The compiler's and linker's flags: what CMake is given (templates/), and what a trial link uses."""

from __future__ import annotations

STANDARD = 17
"""Of C++."""

# One result on every target: no fused multiply-add unless a kernel asks for it, no reordering of float arithmetic.
CXX = (
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
)
WARNINGS = ("-Wall", "-Wextra", "-Wconversion")
SECTIONS = ("-ffunction-sections", "-fdata-sections")

RELEASE = {"speed": ("-O3",), "size": ("-Os", "-flto")}
"""What a release's kernels are compiled with."""


def release(optimize: str, *, whole_program: bool) -> tuple[str, ...]:
    """RELEASE, without -flto for a toolchain that cannot."""
    return tuple(flag for flag in RELEASE[optimize] if whole_program or flag != "-flto")


RUNTIME = ("-Os",)
"""And what is outside of the model's steps, after these."""

NO_LTO = ("-fno-lto",)
"""For what only assembly or the compiler itself calls, which would be thought unused (in platform/cortex_m/)."""
NO_LTO_SOURCES = ("startup.cpp", "small_library.cpp")

LINK = ("-nostartfiles", "-nodefaultlibs", "--specs=nano.specs")
LINKER = (
    "--nmagic",  # segments begin at their first section, not at the page below it, which may be a bootloader's
    "--gc-sections",
    "--build-id=sha1",  # which a board says when it is asked which image it runs
    "--fatal-warnings",
)
LIBRARIES = ("c", "gcc")
"""From libc only what the compiler itself calls: memcpy, memset, memmove. From libgcc 64-bit divisions."""
