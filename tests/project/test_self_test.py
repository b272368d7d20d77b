"""The kernels' self-test at boot: right kernels pass it, a broken one is named, and every kernel of a plan is in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.project.build import build
from mcu_sdk.project.self_test import FILE, ensure

PROGRAMS = Path(__file__).resolve().parents[1] / "fixtures" / "executorch-1.4.1"
OnHost = Callable[[Path, bytes], bytes]
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


def test_a_broken_kernel_is_named_and_computes_nothing(
    decoder: Path, on_host: OnHost, capfd: pytest.CaptureFixture[str]
) -> None:
    """One number in one file is wrong; who asks is told instead of answered."""
    kernel = decoder / "sdk/kernels/norm/rms_norm.cpp"
    right = kernel.read_text()
    kernel.write_text(right.replace("+ eps)", "+ 3.0f * eps)"))
    try:
        program = build(decoder, self_test=True).program
        output = on_host(program, b"@ping\n@run ids=1 tokens=1\n" + EOT)
    finally:
        kernel.write_text(right)
    assert re.findall(rb"@mcu self_test_broken=(\S+)", output) == [b"mcu_rms_norm"]
    assert b"@mcu self_test=failed" in output and b"self_test=failed crc=" in output
    assert output.endswith(b"@mcu kernel=mcu_rms_norm\n@mcu verdict=error reason=self_test_failed\n\x04")
    assert b"digest" not in output


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
