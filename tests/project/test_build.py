"""The tiny model, generated, built and run: host, sanitized host and QEMU."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcu_sdk.errors import BuildError, DoesNotFitError, TextError, ToolMissingError, UsageError
from mcu_sdk.model.sampling import Settings, choose
from mcu_sdk.planning.kernel_files import kernel, kernel_sources
from mcu_sdk.project.build import BuildResult, build
from mcu_sdk.project.elf import build_id, forbidden_symbols, read_sizes, symbols
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.made_up import made_up_inputs
from mcu_sdk.project.manifest import read_manifest
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.targets.protocol import Listener, News, Request

Inputs = Callable[..., ProjectInputs]
OnHost = Callable[[Path, bytes], bytes]
OnQemu = Callable[[Path, bytes], tuple[int, bytes]]

REQUESTS = b"""@run tokens=8 temperature=0 ids=1,2,3
@run tokens=5 temperature=1.5 top_k=4 seed=9 ids=3
@run tokens=0 ids=4
@run tokens=99 temperature=1 seed=18446744073709551615 ids=1,1,1,1,1,1,1,1,1,1,1,1
@run tokens=8 temperature=1.5 seed=3 top_p=0.75 min_p=0.1 repetition_penalty=1.3 logit_bias=4:-2.5,9:1 ids=4,4,4
"""
ANSWERS = REQUESTS.count(b"\n")
EOT = b"\x04"


def facts(output: bytes) -> list[str]:
    """The protocol's lines but for those that only a board prints."""
    lines = re.findall(rb"@mcu (.*)", output)
    return [
        re.sub(r" stack_used=\d+", "", line.decode())
        for line in lines
        if not line.startswith((b"instr", b"count"))
    ]


def answer(on_host: OnHost, project: Path, line: bytes, preset: str = "host-debug") -> bytes:
    """What follows `ready=1`."""
    output = on_host(project / "build" / preset / "firmware", line + b"\n" + EOT)
    return output.split(b"@mcu ready=1\n")[1]


# ---- the same on every target


def test_device_and_host_agree_bit_for_bit(tiny_project: Path, on_host: OnHost, on_qemu: OnQemu) -> None:
    host = on_host(tiny_project / "build/host/firmware", REQUESTS + EOT)
    debug = on_host(tiny_project / "build/host-debug/firmware", REQUESTS + EOT)
    code, device = on_qemu(tiny_project / "build/release/firmware.elf", REQUESTS + EOT)
    assert code == 0
    assert host.count(b"@mcu verdict=ok\n\x04") == ANSWERS
    assert host == debug
    assert facts(device) == facts(host)


def test_instructions_are_counted_and_the_same_in_every_run(tiny_project: Path, on_qemu: OnQemu) -> None:
    elf = tiny_project / "build/release/firmware.elf"
    first = on_qemu(elf, REQUESTS + EOT)[1]
    assert first == on_qemu(elf, REQUESTS + EOT)[1]
    assert b"@mcu counter=instructions\n" in first
    counts = re.search(rb"instructions_first=(\d+) instructions_last=(\d+) instructions_total=(\d+)", first)
    assert counts is not None
    one, last, total = map(int, counts.groups())
    # The kernel has no branch that depends on data: every step takes the same. Its 16 iterations have a division
    # and a store each: more than 100 instructions, and not thousands.
    steps = 3 + int(re.search(rb"@mcu tokens=(\d+)", first)[1]) - 1  # type: ignore[index]
    assert 100 < one < 1000 and last == one and total == steps * one


def test_the_stack_is_measured(tiny_project: Path, on_qemu: OnQemu) -> None:
    output = on_qemu(tiny_project / "build/release/firmware.elf", REQUESTS + EOT)[1]
    used = re.findall(rb"stack_used=(\d+)", output)
    assert len(used) == ANSWERS and all(100 < int(value) < 2000 for value in used)


def test_tokens_are_those_of_the_specification(tiny_project: Path, on_host: OnHost) -> None:
    how = Settings(1.5, 9, 0.75, 0.05, 1.3, [(4, -2.5), (9, 1.0)])
    model, state, read = HostModel.of(tiny_project), 7, [4, 4, 2]
    model.reset()
    for token in read[:-1]:
        model.step(token)
    for _ in range(6):
        token, state = choose(model.step(read[-1]), how, read, state)
        read.append(token)
    request = Request(
        None, (4, 4, 2), tokens=6, temperature=1.5, top_k=9, seed=7, past_end=True, top_p=0.75, min_p=0.05,
        repetition_penalty=1.3, logit_bias=[(4, -2.5), (9, 1)],
    )  # fmt: skip
    output = on_host(tiny_project / "build/host-debug/firmware", request.encode() + EOT)
    assert f"@mcu ids={','.join(map(str, read[3:]))}\n".encode() in output


def test_a_program_that_chooses_tokens_itself_goes_on_and_refuses_what_it_does_not_do(
    tmp_path: Path, tiny_inputs: Inputs, tiny_project: Path, on_host: OnHost
) -> None:
    """app/ is the user's: one from before there was a chooser."""
    project = render_project(tiny_inputs(), tmp_path / "p")
    main = project / "app/main.cpp"
    text = main.read_text()
    for new, old in (
        ("chooser.next(logits)", "mcu_sample(logits, model::kVocabSize, prompt.sampling.temperature, prompt.sampling.top_k, &random)"),
        (", &chooser)", ")"), ("prompt, chooser)", "prompt)"), (", Chooser& chooser", ""), ("    Chooser chooser;\n", ""),
        ("runtime/chooser.h\"", "runtime/sampler.h\""), ("    float* logits", "    uint64_t random = prompt.sampling.seed;\n    const float* logits"),
    ):  # fmt: skip
        assert new in text
        text = text.replace(new, old)
    main.write_text(text)
    program = build(project, "host").program
    plain = b"".join(line + b"\n" for line in REQUESTS.splitlines()[:-1])
    assert on_host(program, plain + EOT) == on_host(tiny_project / "build/host/firmware", plain + EOT)
    for word in (b"top_p=0.5", b"min_p=0.5", b"repetition_penalty=2", b"logit_bias=3:1"):
        said = on_host(program, b"@run " + word + b" ids=1\n" + EOT)
        assert said.endswith(b"@mcu verdict=error reason=app_chooses_tokens\n\x04")


def test_the_end_of_the_input_ends_the_program(tiny_project: Path, on_host: OnHost) -> None:
    assert on_host(tiny_project / "build/host/firmware", b"").endswith(b"@mcu ready=1\n")


# ---- the console protocol


def test_a_numbered_request_gets_a_numbered_answer_and_the_next_one_too(
    tiny_project: Path, on_host: OnHost, on_qemu: OnQemu
) -> None:
    request = Request(ids=(1, 2, 3), tokens=2)
    lines = request.encode(5) + b"half a line\x15@ping\n" + request.encode(2**32 - 1) + request.encode()
    host = on_host(tiny_project / "build/host-debug/firmware", lines + EOT)
    device = on_qemu(tiny_project / "build/release/firmware.elf", lines + EOT)[1]
    for output in (host, device):
        first, second = Listener(5), Listener(2**32 - 1)
        assert first.feed(output) == [News.READY, News.STARTED, News.ANSWERED]
        heard = [News.READY, News.OTHER, News.READY, News.STARTED, News.ANSWERED]
        assert second.feed(output) == heard
        assert first.transcript() == second.transcript() and len(first.transcript().ids) == 2
        assert output.count(b"@mcu verdict=ok") == 3 and output.endswith(b"@mcu verdict=ok\n\x04")


def test_whoever_asks_is_told_model_and_build(tiny_project: Path, on_host: OnHost, on_qemu: OnQemu) -> None:
    """At boot a firmware says only that it is ready: a board that wakes up often should be at work soon."""
    builds = []
    for preset in ("host", "host-debug", "release"):
        program = tiny_project / "build" / preset / ("firmware.elf" if preset == "release" else "firmware")
        output = (
            on_qemu(program, b"@ping\n" + EOT)[1]
            if preset == "release"
            else on_host(program, b"@ping\n" + EOT)
        )
        listener = Listener(1)
        assert listener.feed(output) == [News.READY, News.READY] and output.startswith(b"\n@mcu ready=1\n")
        assert listener.ready["model"] == read_manifest(tiny_project).model.sha256
        assert listener.ready["build"] == build_id(program) and len(build_id(program)) == 40
        builds.append(listener.ready["build"])
    assert len(set(builds)) == 3


def test_a_file_without_a_build_id_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ELF")
    for path in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(BuildError, match="no ELF file"):
            build_id(path)
    command = ["g++", "-x", "c++", "-shared", "-nostdlib", "-Wl,--build-id=none", "-o", "a.so", "/dev/null"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    with pytest.raises(BuildError, match="no build id"):
        build_id(tmp_path / "a.so")


def test_a_refusal_of_a_numbered_request_is_numbered(tiny_project: Path, on_host: OnHost) -> None:
    output = on_host(tiny_project / "build/host-debug/firmware", Request(ids=(16,)).encode(9) + EOT)
    listener = Listener(9)
    assert listener.feed(output)[-1] is News.ANSWERED
    assert listener.transcript().facts == {"verdict": "error", "reason": "id_out_of_range"}


def test_a_request_that_lost_a_byte_is_not_answered_as_if_it_were_whole(
    tiny_project: Path, on_host: OnHost
) -> None:
    line = Request(ids=(1, 2), tokens=1).encode(77)
    damaged = [line[:place] + line[place + 1 :] for place in range(1, len(line) - 1)]
    damaged += [
        line[:place] + bytes((line[place] ^ 2,)) + line[place + 1 :] for place in range(1, len(line) - 1)
    ]
    damaged += [line[: line.index(b" crc")] + b"\n", b"@run request=0 ids=1\n", b"@run request=4294967296\n"]
    output = on_host(tiny_project / "build/host-debug/firmware", b"".join(damaged) + line + EOT)
    before, answer = output.split(b"@mcu request=77\n")
    assert b"request=" not in before and b"@mcu verdict=ok request=77 crc=" in answer
    reasons = set(re.findall(rb"reason=(\w+)", before))
    assert reasons <= {
        b"bad_crc",
        b"unknown_request",
        b"unknown_key",
        b"bad_request",
        b"bad_number",
        b"bad_ids",
    }
    assert before.count(b"verdict=ok") == 1  # request=0 is none


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"@run ids=", b"empty_prompt"),
        (b"@run tokens=3", b"empty_prompt"),
        (b"@run ids=16", b"id_out_of_range"),
        (b"@run ids=1,,2", b"bad_ids"),
        (b"@run ids=1,2,", b"bad_ids"),
        (b"@run ids=-1", b"bad_ids"),
        (b"@run ids=99999999999", b"bad_ids"),
        (b"@run ids=" + b",".join([b"1"] * 13), b"prompt_too_long"),
        (b"@run ids=1 ids=2", b"repeated_key"),
        (b"@run tokens=2147483648 ids=1", b"bad_number"),
        (b"@run tokens= ids=1", b"bad_number"),
        (b"@run tokens=x ids=1", b"bad_number"),
        (b"@run temperature=1001 ids=1", b"bad_number"),
        (b"@run temperature=1. ids=1", b"bad_number"),
        (b"@run temperature=0.1234567 ids=1", b"bad_number"),
        (b"@run temperature=-1 ids=1", b"bad_number"),
        (b"@run seed=18446744073709551616 ids=1", b"bad_number"),
        (b"@run top_p=0 ids=1", b"bad_number"),
        (b"@run top_p=1.000001 ids=1", b"bad_number"),
        (b"@run min_p=2 ids=1", b"bad_number"),
        (b"@run repetition_penalty=0.0 ids=1", b"bad_number"),
        (b"@run logit_bias= ids=1", b"bad_bias"),
        (b"@run logit_bias=1 ids=1", b"bad_bias"),
        (b"@run logit_bias=1:2, ids=1", b"bad_bias"),
        (b"@run logit_bias=1:1001 ids=1", b"bad_bias"),
        (b"@run logit_bias=1:2,1:3 ids=1", b"bad_bias"),
        (b"@run ids=1 logit_bias=" + b",".join(b"%d:1" % i for i in range(17)), b"bad_bias"),
        (b"@run logit_bias=16:1 ids=1", b"bad_bias"),
        (b"@run text=4 ", b"bad_text"),
        (b"@run text=zz", b"bad_text"),
        (b"@run text=41 ids=1", b"text_and_ids"),
        (b"@run pair=41 ids=1", b"pair_without_text"),
        (b"@run pair=4 text=41", b"bad_text"),
        (b"@run text=41 pair=41", b"pair_for_a_language_model"),
        (b"@run text=41", b"no_tokenizer"),
        (b"@run steps=3", b"steps_for_a_language_model"),
        (b"@run volume=11", b"unknown_key"),
        (b"@run ids=1x", b"bad_request"),
        (b"@reboot", b"unknown_request"),
        (b"@runids=1", b"bad_request"),
        (b"hello", b"no_tokenizer"),
        (b"@" + b"x" * 5000, b"line_too_long"),
    ],
)
def test_bad_requests_get_a_verdict(tiny_project: Path, on_host: OnHost, line: bytes, reason: bytes) -> None:
    assert answer(on_host, tiny_project, line) == b"@mcu verdict=error reason=" + reason + b"\n\x04"


@pytest.mark.parametrize(
    "line", [b"@run  ids=3  tokens=1 ", b"@run tokens=1 temperature=0.0 ids=3\r", b"\n\n@run ids=3 tokens=1"]
)
def test_spaces_and_line_ends_do_not_matter(tiny_project: Path, on_host: OnHost, line: bytes) -> None:
    output = answer(on_host, tiny_project, line)
    assert b"@mcu prompt_ids=3\n" in output and b"@mcu tokens=1\n" in output and b"verdict=ok" in output


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"@run",
                    b" ",
                    b"ids=",
                    b"1",
                    b",",
                    b"tokens=",
                    b"seed=",
                    b"temperature=",
                    b"logit_bias=",
                    b":",
                    b".",
                    b"text=",
                    b"\n",
                    b"steps=",
                ]
            ),
            st.binary(max_size=6),
        ),
        max_size=40,
    )
)
def test_any_input_leaves_the_sanitized_program_alive(
    tiny_project: Path, on_host: OnHost, parts: list[bytes]
) -> None:
    noise = b"".join(parts).replace(EOT, b"")
    output = answer(on_host, tiny_project, noise + b"\n@run tokens=1 ids=2")
    assert output.endswith(b"@mcu verdict=ok\n\x04") and b"@mcu prompt_ids=2\n" in output


def test_a_full_context_ends_the_text(tiny_project: Path, on_host: OnHost) -> None:
    output = answer(on_host, tiny_project, b"@run tokens=99 temperature=1000 seed=3 ids=1,2,3,4,5,6,7,8,9,10")
    tokens = re.search(rb"@mcu tokens=(\d+)\n", output)
    # Two more are read, and a last one is made of the last logits.
    assert tokens is not None and 1 <= int(tokens[1]) <= 3 and output.endswith(b"verdict=ok\n\x04")


# ---- the image


def test_sizes_by_section_and_region(tiny_project: Path, tiny_inputs: Inputs) -> None:
    sizes = read_sizes(tiny_project / "build/release/firmware.elf")
    inputs = tiny_inputs()
    plan = inputs.plan.to_template()
    assert sizes.arena == plan["arena_bytes"] and sizes.kv_cache == plan["kv_cache_bytes"]
    assert sizes.weights == len(inputs.pte)
    assert sizes.stack == inputs.board.stack_bytes
    assert sizes.flash == sizes.code + sizes.weights and 4_000 < sizes.code < 24_000
    regions = sizes.by_region(inputs.board)
    assert sum(regions.values()) == sum(section.size for section in sizes.sections)
    assert regions["sram"] == sizes.weights and regions["dtcm"] == sizes.ram


def test_no_heap_printf_or_exceptions(tiny_project: Path) -> None:
    for preset in ("release", "debug"):
        elf = build(tiny_project, preset).program
        assert forbidden_symbols(elf) == []
        assert {"Reset_Handler", "main", "mcu_model_pte"} <= set(symbols(elf))


def test_weights_that_do_not_fit_beside_the_code_go_to_external_memory(
    tmp_path: Path, tiny_inputs: Inputs, on_qemu: OnQemu, tiny_project: Path, on_host: OnHost
) -> None:
    inputs = tiny_inputs()
    moved = {"weights": "ddr", "arena": "isram", "kv_cache": "ddr"}
    layout = type(inputs.layout)(inputs.layout.regions | moved, inputs.layout.used)
    project = render_project(ProjectInputs(**{**vars(inputs), "layout": layout}), tmp_path / "p")
    result = build(project)
    assert result.sizes is not None
    regions = result.sizes.by_region(inputs.board)
    assert regions["isram"] == result.sizes.arena
    assert regions["ddr"] >= result.sizes.kv_cache + result.sizes.weights
    host = on_host(tiny_project / "build/host/firmware", REQUESTS + EOT)
    assert facts(on_qemu(result.program, REQUESTS + EOT)[1]) == facts(host)


def test_two_folders_give_the_same_bytes(
    tmp_path: Path, tiny_inputs: Inputs, tiny_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is compiled, not taken from the first: so what ccache gives the other tests is the compiler's own."""
    monkeypatch.setenv("CCACHE_DISABLE", "1")
    other = render_project(tiny_inputs(), tmp_path / "a longer folder" / "with spaces")
    files = {p.relative_to(other) for p in other.rglob("*") if p.is_file()}
    assert all((other / file).read_bytes() == (tiny_project / file).read_bytes() for file in files)
    assert build(other).program.read_bytes() == (tiny_project / "build/release/firmware.elf").read_bytes()


# ---- faults

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


# ---- the library


def test_the_library_computes_what_the_program_computes(tiny_project: Path, on_host: OnHost) -> None:
    model = HostModel(tiny_project / "build/host/libmodel.so")
    ids = [1, 2, 3]
    logits = model.tokens(ids)
    output = answer(on_host, tiny_project, b"@run tokens=0 ids=1,2,3", "host")
    assert f"digest={model.digest([logits]):016x}\n".encode() in output
    model.reset()
    steps = [model.step(token).copy() for token in ids]
    np.testing.assert_array_equal(np.stack(steps), logits)
    assert f"model={model.hash}\n".encode() in output
    assert (model.vocab_size, model.max_sequence_length, model.has_tokenizer) == (16, 12, False)
    model.reset()
    (again,) = model.run([np.array([1], np.int64), (0).to_bytes(8, "little")])
    np.testing.assert_array_equal(again, logits[0])


def test_the_library_flushes_subnormals_and_leaves_the_caller_alone(tiny_project: Path) -> None:
    model = HostModel(tiny_project / "build/host/libmodel.so")
    logits = model.tokens([0])
    # weights[4] = 0: what is left of this logit is a subnormal times a large factor
    assert logits[0, 4] == 0.0
    assert np.float32(1e-40) * np.float32(0.5) != 0


def test_the_library_refuses_what_is_out_of_range(tiny_project: Path) -> None:
    model = HostModel(tiny_project / "build/host/libmodel.so")
    for token, position in ((-1, 0), (16, 0), (0, -1), (0, 12)):
        with pytest.raises(ValueError, match="not in 0"):
            model.step(token, position)
    with pytest.raises(ValueError, match="not in 0"):
        model.tokens([0] * 13)
    with pytest.raises(ValueError, match="2 inputs"):
        model.run([b""])
    with pytest.raises(ValueError, match="8 bytes"):
        model.run([b"", b""])
    with pytest.raises(TextError):
        model.encode("hello")
    with pytest.raises(BuildError):
        HostModel(tiny_project / "nothing.so")


# ---- models with tensors


def test_made_up_inputs_are_the_same_on_host_and_in_python(
    tmp_path: Path, tiny_inputs: Inputs, tiny_plan: Any, on_host: OnHost, on_qemu: OnQemu
) -> None:
    kinds = [("uint8_t", "u8", "uint8", 1), ("int8_t", "s8", "int8", 1), ("int16_t", "s16", "int16", 2),
             ("int32_t", "s32", "int32", 4), ("int64_t", "s64", "int64", 8), ("uint16_t", "f16", "float16", 2),
             ("float", "f32", "float32", 4), ("double", "f64", "float64", 8), ("bool", "bool", "bool", 1)]  # fmt: skip
    tensors = [
        {"pointer": f"arena<{c}>({i * 256})", "type": t, "c_type": c, "shape": [31], "elements": 31, "bytes": 31 * n,
         "space": "arena", "offset": i * 256}
        for i, (c, t, _, n) in enumerate(kinds)
    ]  # fmt: skip
    plan = tiny_plan(extra={"inputs": tensors, "outputs": tensors, "calls": [], "tables": [], "arena_bytes": 2304,
                            "kv_cache_bytes": 0})  # fmt: skip
    project = render_project(tiny_inputs(plan=plan, language_model=None), tmp_path / "p")
    host = build(project, "host")
    debug = build(project, "host-debug")
    text = b"@run steps=2 seed=7\n@run steps=1 ids=1\n@run seed=1\nhello\n@run steps=1 seed=0\n\x04"
    output = on_host(host.program, text)
    assert output == on_host(debug.program, text)
    assert facts(output) == facts(on_qemu(build(project).program, text)[1])
    inputs = made_up_inputs([(dtype, 31) for _, _, dtype, _ in kinds], seed=7, steps=2)
    assert host.library is not None
    model = HostModel(host.library)
    digest = model.digest([array for step in inputs for array in model.run(step)])
    found = re.findall(rb"@mcu (?:digest=(\w+)|verdict=error reason=(\w+))", output)
    assert found[0][0] == f"{digest:016x}".encode()
    # ids beyond the room for them, since there is none; no steps; a prompt; and a seed that stands for 1
    assert [reason for _, reason in found[1:4]] == [b"prompt_too_long", b"steps_expected", b"steps_expected"]
    one = model.digest(made_up_inputs([(dtype, 31) for _, _, dtype, _ in kinds], seed=1)[0])
    assert found[4][0] == f"{one:016x}".encode()


_KERNEL_CALLS = [
    ("mcu_rms_norm", ["arena<float>(0)", "weights<float>(16)", "arena<float>(1024)", "16", "16", "0x1p-20f"]),
    ("mcu_quantize_rows", ["arena<float>(1024)", "arena<int8_t>(2048)", "arena<float>(2304)", "16", "16"]),
    ("mcu_linear_s8", ["arena<int8_t>(2048)", "arena<float>(2304)", "arena<int8_t>(2432)", "weights<float>(16)",
                       "nullptr", "arena<float>(2688)", "16", "16", "16"]),
    ("mcu_gated_silu", ["arena<float>(1024)", "arena<float>(2688)", "arena<float>(3712)", "256"]),
]  # fmt: skip


@pytest.mark.slow
def test_kernels_give_the_same_bits_in_every_preset(
    tmp_path: Path, tiny_inputs: Inputs, tiny_plan: Any, on_host: OnHost, on_qemu: OnQemu
) -> None:
    def tensor(offset: int, type: str, c_type: str, size: int) -> dict[str, Any]:
        return {"pointer": f"arena<{c_type}>({offset})", "type": type, "c_type": c_type, "shape": [16, 16],
                "elements": 256, "bytes": 256 * size, "space": "arena", "offset": offset}  # fmt: skip

    names = [function.removeprefix("mcu_") for function, _ in _KERNEL_CALLS]
    calls = [
        {
            "function": function,
            "arguments": arguments,
            "name": f"#{i}",
            "comment": "",
            "index": i,
            "operator": "",
        }
        for i, (function, arguments) in enumerate(_KERNEL_CALLS)
    ]
    extra = {"inputs": [tensor(0, "f32", "float", 4), tensor(2432, "s8", "int8_t", 1)],
             "outputs": [tensor(3712, "f32", "float", 4)], "calls": calls, "arena_bytes": 4736}  # fmt: skip
    plan = tiny_plan(
        sources=tuple(source for name in names for source in kernel_sources(kernel(name).header)),
        headers=tuple(kernel(name).header for name in names),
        extra=extra,
    )
    project = render_project(tiny_inputs(plan=plan, language_model=None), tmp_path / "p")
    text = b"@run steps=20 seed=3\n\x04"
    host = facts(on_host(build(project, "host").program, text))
    assert "verdict=ok" in host and "steps=20" in host
    assert facts(on_host(build(project, "host-debug").program, text)) == host
    assert facts(on_qemu(build(project).program, text)[1]) == host
    assert facts(on_qemu(build(project, "debug").program, text)[1]) == host


# ---- the host as a board


def test_the_host_is_a_board(
    tmp_path: Path, tiny_inputs: Inputs, on_host: OnHost, tiny_project: Path
) -> None:
    project = render_project(tiny_inputs("host"), tmp_path / "p")
    result = build(project)
    assert result.library is not None and result.library.is_file() and result.sizes is None
    before = facts(on_host(tiny_project / "build/host/firmware", REQUESTS + EOT))
    after = facts(on_host(result.program, REQUESTS + EOT))
    assert [line for line in after if "board=" not in line] == [
        line for line in before if "board=" not in line
    ]
    assert not (project / "cmake/board.ld").exists()


# ---- failures


def test_compiler_errors_are_shown_and_logged(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    (project / "app/main.cpp").write_text("int main() { return oops; }\n")
    with pytest.raises(BuildError) as caught:
        build(project, "host")
    assert "oops" in caught.value.message and "build.log" in caught.value.hint and caught.value.exit_code == 6
    assert "oops" in (project / "build/host/build.log").read_text()


def test_a_region_that_overflows_at_the_linker_is_a_model_that_does_not_fit(
    tmp_path: Path, tiny_inputs: Inputs
) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    main = project / "app/main.cpp"
    main.write_text(
        main.read_text() + '\n__attribute__((section(".vectors"), used)) const char big[700000] = {1};\n'
        'char large[700000];\n__attribute__((section(".vectors"), used)) char* const kept = large;\n'
    )
    with pytest.raises(DoesNotFitError, match=r"region 'itcm' is over by [\d,]+ bytes") as caught:
        build(project)
    assert "region 'dtcm' is over by" in caught.value.message


def test_missing_tools_are_named_with_the_line_that_installs_them(
    tiny_project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="apt-get install cmake") as caught:
        build(tiny_project)
    assert caught.value.exit_code == 4
    for tool in ("cmake", "ninja"):
        (tmp_path / tool).symlink_to("/bin/true")
    with pytest.raises(ToolMissingError, match="gcc-arm-none-eabi"):
        build(tiny_project)


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        build(tmp_path)


def test_a_project_that_was_moved_builds_again(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs("host"), tmp_path / "a")
    build(project)
    shutil.move(project, tmp_path / "b")
    result: BuildResult = build(tmp_path / "b")
    assert result.program.is_file()


def test_flags_from_the_environment_do_not_leak_in(
    tmp_path: Path, tiny_inputs: Inputs, tiny_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CXXFLAGS", "CFLAGS", "LDFLAGS", "ASMFLAGS"):
        monkeypatch.setenv(name, "-ffast-math -DNDEBUG")
    project = render_project(tiny_inputs(), tmp_path / "p")
    assert build(project).program.read_bytes() == (tiny_project / "build/release/firmware.elf").read_bytes()
