"""A kernel's files are found from its name, whatever folder they lie in."""

from __future__ import annotations

import re

import pytest

from mcu_sdk import resources
from mcu_sdk.planning.kernel_files import closure, kernel_header, kernel_sources

KERNELS = resources.firmware() / "kernels"


def test_every_kernel_is_found_by_its_name() -> None:
    """Each function that a header declares for the plan, and the source that defines it."""
    for source in KERNELS.glob("*/*.cpp"):
        header = kernel_header(source.stem)
        assert header == source.with_suffix(".h").relative_to(KERNELS.parent).as_posix()
        assert source.relative_to(KERNELS.parent).as_posix() in kernel_sources(header)


def test_names_are_unique_over_all_folders() -> None:
    """Names are looked up without their folder, and objects of one project may share a folder."""
    for suffix in ("h", "cpp", "S"):
        stems = [path.stem for path in KERNELS.glob(f"*/*.{suffix}")]
        assert sorted(stems) == sorted(set(stems))
    assert not [path for path in KERNELS.iterdir() if path.is_file()]


def test_a_name_without_a_kernel() -> None:
    with pytest.raises(KeyError, match="no_such_kernel"):
        kernel_header("no_such_kernel")


def test_assembly_comes_with_the_header_that_declares_it() -> None:
    assert kernel_sources("kernels/linear/linear_s8_packed.h") == (
        "kernels/linear/gemv_s8_helium.S",
        "kernels/linear/linear_s8_packed.cpp",
    )
    assert kernel_sources("kernels/linear/linear_s8.h") == ("kernels/linear/linear_s8.cpp",)


def test_a_closure_is_closed() -> None:
    """Every quoted include of what is copied is copied too, except what is generated."""
    files = closure([kernel_header("attention_s8"), "runtime/language_model.cpp"])
    for name in files:
        text = (KERNELS.parent / name).read_text()
        for included in re.findall(r'#include "([^"]+)"', text):
            assert included in files or included.startswith("model/"), (name, included)
    with pytest.raises(FileNotFoundError):
        closure(["kernels/none.cpp"])
