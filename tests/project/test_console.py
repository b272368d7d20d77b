"""What a firmware's console takes and says: numbered requests, refusals, anything at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcu_sdk.project.elf import build_id
from mcu_sdk.project.manifest import read_manifest
from mcu_sdk.targets.protocol import Listener, News, Request
from tests.project.asking import EOT, OnHost, OnQemu, answer


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
