"""A fault of the processor is reported by the firmware, and ends the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk.project.build import build
from mcu_sdk.project.render import render_project
from tests.project.asking import EOT, Inputs, OnQemu

_FAULTS = """#include "platform/platform.h"
#include "runtime/print.h"
extern "C" int deeper(volatile int* above) { volatile int here[64] = {*above}; return deeper(here) + here[1]; }
int main() {
    volatile int zero = 0;
    switch (platform_read()) {
        case 'u': asm volatile("udf #0"); break;
        case 'b': zero = *reinterpret_cast<volatile int*>(0x4FFFFFF0); break;
        case 's': zero = deeper(&zero); break;
        case 'n': print_unsigned(0); print_text(" "); print_unsigned(UINT64_MAX); print_text(" ");
                  print_signed(INT64_MIN); print_text(" "); print_signed(-7); print_text(" ");
                  print_hex(0xabc, 8); break;
    }
    platform_exit(3);
}
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, tiny_inputs: Inputs) -> Path:
    project = render_project(tiny_inputs(), tmp_path_factory.mktemp("faulty") / "p")
    (project / "app/main.cpp").write_text(_FAULTS)
    file = project / "CMakePresets.json"  # this program recurses without end, and GCC would say so
    file.write_text(file.read_text().replace('"SANITIZE"', '"WARNINGS_AS_ERRORS": "OFF", "SANITIZE"'))
    return build(project).program


@pytest.mark.parametrize(
    ("key", "reason"), [(b"u", b"usage_fault"), (b"b", b"bus_fault"), (b"s", b"stack_overflow")]
)
def test_a_fault_is_reported_and_ends_the_run(
    faulty: Path, on_qemu: OnQemu, key: bytes, reason: bytes
) -> None:
    code, output = on_qemu(faulty, key)
    assert code == 1
    assert (
        b"\n@mcu verdict=error reason=" + reason + b" " in output
        and b"cfsr=" in output
        and output.endswith(EOT)
    )


def test_numbers_are_printed_without_printf(faulty: Path, on_qemu: OnQemu) -> None:
    assert on_qemu(faulty, b"n") == (3, b"0 18446744073709551615 -9223372036854775808 -7 00000abc")
