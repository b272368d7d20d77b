"""The kernels' self-test at boot: right kernels pass it, a broken one is named, and every kernel of a plan is in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mcu_sdk import cli
from mcu_sdk.project import committed
from mcu_sdk.project.build import build
from mcu_sdk.project.kernel_tests import rows_of
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.project.self_test import FILE, ensure, known_kernels
from mcu_sdk.targets.protocol import Request, Transcript
from tests.project.test_testing import behind_a_port

PROGRAMS = Path(__file__).resolve().parents[1] / "fixtures" / "executorch-1.4.1"
OnHost = Callable[[Path, bytes], bytes]
Capture = pytest.CaptureFixture[str]
EOT = b"\x04"


def generate(name: str, folder: Path, board: str = "host") -> Path:
    assert (
        cli.run(["-q", "generate", "--pte", str(PROGRAMS / name), "--board", board, "-o", str(folder)]) == 0
    )
    return folder


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small language model for this computer, with its self-test built."""
    project = generate("decoder-rows.pte", tmp_path_factory.mktemp("self") / "project")
    build(project, self_test=True)
    return project


@pytest.fixture
def with_answers(decoder: Path) -> Iterator[Path]:
    """The small language model with one known answer and an empty baseline."""
    project, request = open_project(decoder), Request(ids=(1,), tokens=2)
    transcript = run_on("host", project, build(decoder).program, request)
    written = [
        committed.write_answers(project, [committed.Answer.of(request, transcript)]),
        committed.write_baseline(project, {}, 1.0),
    ]
    yield decoder
    for path in written:
        path.unlink()


@contextmanager
def broken_norm(project: Path) -> Iterator[None]:
    """One number in one file is wrong."""
    kernel = project / "sdk/kernels/norm/rms_norm.cpp"
    right = kernel.read_text()
    kernel.write_text(right.replace("+ eps)", "+ 3.0f * eps)"))
    try:
        yield
    finally:
        kernel.write_text(right)


def in_test(project: Path) -> set[str]:
    """The kernels that a project's known answers are of."""
    return {
        name
        for names in re.findall(r'begin\("([^"]+)"', (project / FILE).read_text())
        for name in names.split("+")
    }


def planned(project: Path) -> set[str]:
    return set(re.findall(r"^    (mcu_\w+)\(", (project / "model/plan.cpp").read_text(), re.MULTILINE))


def test_right_kernels_pass_and_all_are_tested(decoder: Path, on_host: OnHost) -> None:
    answers = (decoder / FILE).read_text().count("test->begin(")
    output = on_host(decoder / "build/release-self-test/firmware", b"@ping\n@run ids=1 tokens=1\n" + EOT)
    assert f"@mcu self_test=ok self_tested={answers}\n".encode() in output
    assert re.search(rb"@mcu ready=1 model=\S+ build=\S+ self_test=ok crc=", output)
    assert b"self_test_broken" not in output and output.endswith(b"@mcu verdict=ok\n\x04")
    assert planned(decoder) and in_test(decoder) == planned(decoder)


def test_a_broken_kernel_is_named_and_computes_nothing(decoder: Path, on_host: OnHost) -> None:
    """Who asks is told instead of answered."""
    with broken_norm(decoder):
        program = build(decoder, self_test=True).program
        output = on_host(program, b"@ping\n@run ids=1 tokens=1\n" + EOT)
    assert re.findall(rb"@mcu self_test_broken=(\S+)", output) == [b"mcu_rms_norm"]
    assert b"@mcu self_test=failed" in output and b"self_test=failed crc=" in output
    answers = (decoder / FILE).read_text().count("test->begin(")
    refused = f"@mcu kernel=mcu_rms_norm self_test_wrong=1 self_tested={answers}\n"
    assert output.endswith(f"{refused}@mcu verdict=error reason=self_test_failed\n\x04".encode())
    assert b"digest" not in output


# ---- mcu-sdk test --self-test


def found_by_test(project: Path, capsys: Capture, *more: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code, and the rows by name."""
    capsys.readouterr()
    code = cli.run(["-q", "test", str(project), "--self-test", "--json", *more])
    return code, {row["name"]: row for row in json.loads(capsys.readouterr().out)["tests"]}


@pytest.mark.slow
def test_each_kernel_is_a_row_beside_the_known_answers(with_answers: Path, capsys: Capture) -> None:
    code, rows = found_by_test(with_answers, capsys)
    kernels = known_kernels(with_answers)
    assert code == 0 and len(kernels) == len(set(kernels)) > 4
    assert list(rows)[: len(kernels)] == [f"kernel {name}" for name in kernels]
    assert {row["status"] for name, row in rows.items() if name.startswith(("kernel", "answer 1: "))} == {
        "ok"
    }


def test_a_broken_kernel_fails_by_name(with_answers: Path, tmp_path: Path, capsys: Capture) -> None:
    """In the table, for CI, and at a port, where nothing else can be asked then."""
    report = tmp_path / "report.xml"
    with broken_norm(with_answers):
        code, rows = found_by_test(with_answers, capsys, "--junit", str(report))
        with behind_a_port([str(with_answers / "build/release-self-test/firmware")]) as port:
            port_code, port_rows = found_by_test(with_answers, capsys, "--port", port)
    suite = ElementTree.parse(report).getroot()[0]
    failed = {str(case.get("name")) for case in suite if case.find("failure") is not None}
    assert failed == {name for name, row in rows.items() if row["status"] == "failed"}
    assert code == port_code == 7 and "kernel mcu_rms_norm" in failed
    assert all("mcu_rms_norm" in name for name in failed if name.startswith("kernel"))
    assert port_rows["kernel mcu_rms_norm"]["status"] == "failed"
    asked = [row for name, row in port_rows.items() if name.startswith("answer 1: ")]
    assert [row["status"] for row in asked] == ["skipped"] and "not asked" in asked[0]["detail"]


def test_a_board_at_a_port_runs_the_firmware_that_tests_itself(with_answers: Path, capsys: Capture) -> None:
    build(with_answers, self_test=True)
    with behind_a_port([str(with_answers / "build/release-self-test/firmware")]) as port:
        code, rows = found_by_test(with_answers, capsys, "--port", port)
    assert code == 0 and "kernel mcu_rms_norm" in rows
    assert [row["status"] for name, row in rows.items() if name.startswith("answer 1: ")] == ["ok"]
    with behind_a_port([str(with_answers / "build/release/firmware")]) as port:
        assert cli.run(["-q", "test", str(with_answers), "--self-test", "--port", port]) == 7
    assert "expected to run build/release-self-test/firmware" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("facts", "failed"),
    [
        ({"self_tested": "2"}, []),
        ({}, ["kernels"]),
        ({"self_tested": "1"}, ["kernels"]),
        ({"self_tested": "2", "self_test_wrong": "1", "kernel": "b+c"}, ["kernel b+c"]),
        ({"self_tested": "2", "self_test_wrong": "2", "kernel": "a"}, ["kernel a", "kernels"]),
    ],
)
def test_what_a_firmware_says_of_its_kernels(facts: dict[str, str], failed: list[str]) -> None:
    rows = rows_of(["a", "b+c"], Transcript("", facts))
    assert [row.name for row in rows if row.status == "failed"] == failed
    assert [row.status for row in rows_of([], Transcript("", facts))] == ["skipped"]


# ---- the answers' file


def test_answers_of_another_model_are_written_again(decoder: Path) -> None:
    path = decoder / FILE
    right = path.read_text()
    path.write_text(right.replace("model ", "model 0", 1))
    assert ensure(decoder) == path and path.read_text() == right
    path.write_text(right + "// mine\n")
    ensure(decoder)
    assert path.read_text() == right + "// mine\n"
    path.write_text(right)


def test_without_answers_cmake_says_where_they_come_from(decoder: Path, tmp_path: Path) -> None:
    project = tmp_path / "p"
    shutil.copytree(decoder, project, ignore=shutil.ignore_patterns("build", "tests"))
    command = ["cmake", "--preset", "release", "-DMCU_SELF_TEST=ON"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode and "mcu-sdk build --self-test writes it" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_what_stays_on_the_processor_beside_an_npu_is_tested(tmp_path: Path, on_host: OnHost) -> None:
    project = generate("ethos-u-mlp.pte", tmp_path / "p", "corstone-300")
    output = on_host(build(project, "host", self_test=True).program, EOT)
    assert b"@mcu self_test=ok self_tested=2" in output, output


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(path.name for path in PROGRAMS.glob("*.pte") if "ethos" not in path.name)
)
@pytest.mark.parametrize("board", ["host", "corstone-300", "mps2-an386"])
def test_every_program_s_kernels_pass(
    board: str, name: str, tmp_path: Path, on_host: OnHost, on_qemu: Callable[..., tuple[int, bytes]]
) -> None:
    """On cores with Helium, with the DSP extension, and on this computer."""
    project = generate(name, tmp_path / "p", board)
    program = build(project, self_test=True).program
    output = on_host(program, EOT) if board == "host" else on_qemu(program, EOT, board)[1]
    assert b"@mcu self_test=ok" in output, output
    assert in_test(project) == planned(project)
