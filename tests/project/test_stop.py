"""Answers that end with a text: the firmware of a made-up model whose logits are noise, on the host and in QEMU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk import run, verify
from mcu_sdk.errors import UsageError
from mcu_sdk.model.stops import cut
from mcu_sdk.options import GenerateRequest, Kind
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.render import render_project
from mcu_sdk.targets.protocol import Request
from tests.project.talker import Talker

OnHost = Callable[[Path, bytes], bytes]
EOT = b"\x04"


def ask(project: Path, **asked: object) -> tuple[str, tuple[int, ...]]:
    found = run(project, ids=[5, 9], temperature=1, seed=3, simulator="host", **asked).transcript  # type: ignore[arg-type]
    return found.text, found.ids


def test_an_answer_ends_before_its_stop_text(talker: Talker) -> None:
    model = HostModel.of(talker.project)
    _, ids = ask(talker.project, tokens=60)
    pieces = [model.decode(token) for token in ids]
    whole = b"".join(pieces)
    assert len(whole) > 40
    places = [20, 31, len(whole) - 3]
    for stops in ([whole[20:23]], [whole[at : at + 5] for at in places], [b"never said", whole[:1]]):
        texts = [stop.decode("latin-1") for stop in stops if max(stop) < 128]
        if not texts:
            continue
        wanted, count = cut(pieces, [text.encode() for text in texts])
        assert ask(talker.project, tokens=60, stop=texts) == (wanted.decode("utf-8", "replace"), ids[:count])
    assert ask(talker.project, tokens=60, stop=["never said"])[1] == ids


def test_a_project_without_a_tokenizer_has_no_stop_texts(tiny_project: Path) -> None:
    with pytest.raises(UsageError, match="no tokenizer, so no text ends"):
        open_project(tiny_project).request(ids=[1], stop=["a"])


@pytest.mark.slow
def test_a_program_that_knows_nothing_of_them_ends_its_answers_too(talker: Talker, on_host: OnHost) -> None:
    """app/ is the user's: it steps once more, and is then given no token."""
    before = ask(talker.project, tokens=60, stop=["e"])
    main = talker.project / "app/main.cpp"
    text = main.read_text()
    assert "const bool stopped = conversation_token(token);" in text
    main.write_text(text.replace("const bool stopped = ", "").replace("stopped || ", ""))
    try:
        assert ask(talker.project, tokens=60, stop=["e"]) == before
    finally:
        main.write_text(text)


@pytest.mark.slow
def test_the_device_stops_where_the_host_does(
    talker: Talker, on_host: OnHost, on_qemu: Callable[..., tuple[int, bytes]]
) -> None:
    requests = [
        Request(ids=(5, seed), tokens=50, temperature=1, seed=seed, stop=(letter, "the"))
        for seed in range(8)
        for letter in "ae\n"
    ]
    lines = b"".join(request.encode() for request in requests) + EOT
    lines = b"@run stop= ids=5\n@run stop=6 ids=5\n@run stop=" + b"61" * 65 + b" ids=5\n" + lines
    code, device = on_qemu(build(talker.project).program, lines)
    host = on_host(build(talker.project, "host-debug").program, lines)
    assert code == 0 and host.count(b"verdict=ok") == len(requests) + 1
    assert host.count(b"reason=bad_stop") == 2
    assert facts(device) == facts(host)
    assert verify(talker.project, ids=[5, 9], tokens=50, stop=["e"], with_python=False).verdict.ok


def facts(output: bytes) -> list[bytes]:
    """What does not depend on the target."""
    lines = output.split(b"@mcu ready=1\n", 1)[1].splitlines()
    return [
        line
        for line in lines
        if not line.startswith((b"@mcu instr", b"@mcu arena", b"@mcu counter", b"@mcu cyc"))
    ]


def test_they_are_kept_in_known_answers() -> None:
    from mcu_sdk.project.committed import Answer, _answer, _request_json

    request = Request(ids=(1,), stop=("a", "b"))
    told = {"request": _request_json(request), "digest": "0", "ids": "", "text": ""}
    assert _answer(told) == Answer(request, "0", (), "")
    assert dataclasses.replace(request, stop="ab").stop == ("ab",)


@pytest.mark.slow
def test_a_project_s_own_stop_texts_end_an_answer_unless_the_request_has_others(
    talker: Talker, tmp_path: Path, on_host: OnHost
) -> None:
    project = render_project(replace(talker.inputs, stops=(b"e", b"the lamp")), tmp_path / "p")
    assert ask(project, tokens=60) == ask(talker.project, tokens=60, stop=["e", "the lamp"])
    assert ask(project, tokens=60, stop=["a"]) == ask(talker.project, tokens=60, stop=["a"])
    assert ask(project, tokens=60, stop=[""]) == ask(talker.project, tokens=60)
    main = project / "app/main.cpp"
    main.write_text(main.read_text().replace("(kDefaults, &prompt, &chooser)", "(kDefaults, &prompt)"))
    assert b"app_chooses_tokens" in on_host(build(project, "host").program, b"@run ids=1\n" + EOT)


def test_they_are_kept_in_the_manifest() -> None:
    request = GenerateRequest(stop=("\n", "Q:"))
    kept = request.to_manifest(Kind.DECODER, "x")
    assert GenerateRequest.from_manifest(kept, {}).stop == request.stop
    with pytest.raises(UsageError, match="--stop does not take"):
        GenerateRequest.from_manifest({**kept, "stop": "[7]"}, {})
