"""The tiny model's firmware computes the same on the host, with sanitizers, and in QEMU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.model.sampling import Settings, choose
from mcu_sdk.planning.kernel_files import kernel, kernel_sources
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.made_up import made_up_inputs
from mcu_sdk.project.render import render_project
from mcu_sdk.targets.protocol import Request
from tests.project.asking import ANSWERS, EOT, REQUESTS, Inputs, OnHost, OnQemu, facts


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


_KERNEL_CALLS = [
    ("mcu_rms_norm", ["arena<float>(0)", "weights<float>(16)", "arena<float>(1024)", "16", "16", "0x1p-20f"]),
    ("mcu_quantize_rows", ["arena<float>(1024)", "arena<int8_t>(2048)", "arena<float>(2304)", "16", "16"]),
    ("mcu_linear_s8", ["arena<int8_t>(2048)", "arena<float>(2304)", "arena<int8_t>(2432)", "weights<float>(16)",
                       "nullptr", "arena<float>(2688)", "16", "16", "16"]),
    ("mcu_gated_silu", ["arena<float>(1024)", "arena<float>(2688)", "arena<float>(3712)", "256"]),
]  # fmt: skip


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
