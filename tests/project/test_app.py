"""app/ is the user's: what it lists in C and C++ is built with the user's flags, and stays when the rest is made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.errors import BuildError
from mcu_sdk.project.build import build
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

Inputs = Callable[..., ProjectInputs]

# Each line of these is a warning of the SDK's own sources, and an error there.
LED_C = """
#include "led.h"
static int unused(int parameter) { char narrow = parameter * 1000; return 1; }
int led_new(int class) { return class + LED_STEP; }
"""
LED_CPP = """
#include "led.h"
#include "platform/platform.h"
static int unused(int parameter) { char narrow = parameter * 1000; return 1; }
int led_blink() { return led_new(1); }
"""
LED_H = """
#pragma once
#ifdef __cplusplus
extern "C"
#endif
int led_new(int value);
"""
LISTS = """
target_sources(firmware PRIVATE main.cpp sources/led.c sources/blink.cpp)
target_include_directories(firmware PRIVATE include)
target_compile_definitions(firmware PRIVATE LED_STEP=41)
target_compile_options(firmware PRIVATE $<$<COMPILE_LANGUAGE:C>:-std=gnu89>)
add_library(drivers STATIC sources/driver.c)
target_link_libraries(firmware PRIVATE drivers)
"""


def own_program(project: Path) -> Path:
    """Give the project's program two sources of its own, a library, and a line that says what they computed."""
    app = project / "app"
    for name, text in (
        ("sources/led.c", LED_C),
        ("sources/blink.cpp", LED_CPP),
        ("sources/driver.c", "int driver_level(int new) { return new + 58; }\n"),
        ("include/led.h", LED_H),
        ("CMakeLists.txt", LISTS),
    ):
        (app / name).parent.mkdir(exist_ok=True)
        (app / name).write_text(text)
    main = app / "main.cpp"
    head = 'extern "C" int driver_level(int);\nint led_blink();\n#include "runtime/print.h"\n'
    say = '    print_fact("level", static_cast<uint64_t>(driver_level(led_blink())));\n'
    text = main.read_text().replace("    console_start();\n", "    console_start();\n" + say, 1)
    main.write_text(head + text)
    return project


@pytest.mark.slow
def test_c_and_c_plus_plus_of_the_user(
    tmp_path: Path, tiny_inputs: Inputs, on_host: Callable, on_qemu: Callable
) -> None:
    project = own_program(render_project(tiny_inputs(), tmp_path / "p"))
    before = {path: path.read_bytes() for path in (project / "app").rglob("*") if path.is_file()}
    render_project(tiny_inputs(), project)
    assert {path: path.read_bytes() for path in (project / "app").rglob("*") if path.is_file()} == before
    assert b"@mcu level=100\n" in on_host(build(project, "host").program, b"\x04")
    assert b"@mcu level=100\n" in on_qemu(build(project).program, b"\x04")[1]


def test_our_warnings_stay_errors_in_what_is_ours(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    with (project / "sdk/runtime/print.cpp").open("a") as source:
        source.write("static int unused(int parameter) { char narrow = parameter * 1000; return 1; }\n")
    with pytest.raises(BuildError, match="Werror"):
        build(project, "host")


def test_a_project_from_before_there_were_lists_gets_them(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    generated = (project / "app/CMakeLists.txt").read_bytes()
    (project / "app/CMakeLists.txt").unlink()
    (project / "app/main.cpp").write_text("// mine\n")
    render_project(tiny_inputs(), project)
    assert (project / "app/CMakeLists.txt").read_bytes() == generated
    assert (project / "app/main.cpp").read_text() == "// mine\n"
