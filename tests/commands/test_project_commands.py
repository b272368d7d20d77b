"""`build`, `run` and `verify` on the tiny project: real builds, real runs, and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.project.build import build
from mcu_sdk.project.render import render_project
from tests.project.conftest import make_inputs

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = render_project(make_inputs(), tmp_path_factory.mktemp("commands") / "project")
    build(folder, "release")
    build(folder, "host")
    return folder


def test_build_reports_sizes(project: Path, capsys: Capture) -> None:
    assert cli.run(["build", str(project)]) == 0
    out, err = capsys.readouterr()
    assert "weights (.pte)" in out and "dtcm" in out and out.rstrip().endswith("firmware.elf")
    assert "Building project (release)" in err


def test_build_as_json(project: Path, capsys: Capture) -> None:
    assert cli.run(["build", str(project), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["kv_cache_bytes"] == 16 and data["preset"] == "release" and Path(data["program"]).is_file()


def test_run_streams_the_text_and_reports(project: Path, capsys: Capture) -> None:
    assert cli.run(["run", str(project), "--ids", "1,2,3", "--tokens", "5"]) == 0
    out = capsys.readouterr().out
    text, _, report = out.partition("\n")
    assert text == "0 15 "  # the tiny project has no tokenizer: ids instead of text
    assert "instructions per token" in report and "not compared" in report


def test_run_on_host_and_device_give_the_same_json(project: Path, capsys: Capture) -> None:
    results = []
    for target in ("qemu", "host"):
        assert cli.run(["run", str(project), "--ids", "1", "--simulator", target, "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    device, host = results
    assert (device["target"], host["target"]) == ("qemu", "host")
    assert device["run"]["digest"] == host["run"]["digest"] and device["run"]["ids"] == host["run"]["ids"]
    assert device["run"]["instructions_last"] > 0 and "instructions_last" not in host["run"]


def test_run_without_a_prompt_begins_with_the_start_token(project: Path, capsys: Capture) -> None:
    assert cli.run(["run", str(project), "--tokens", "2", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "| prompt tokens | 1 |" in out and "## tiny on corstone-300" in out


def test_a_seed_decides_a_sampled_text_on_every_target(project: Path, capsys: Capture) -> None:
    ids = []
    for target in ("qemu", "host", "host"):
        seed = "3" if len(ids) < 2 else "4"
        sampling = ["--temperature", "5", "--top-k", "9", "--seed", seed]
        assert cli.run(["run", str(project), "--simulator", target, "--json", *sampling]) == 0
        ids.append(json.loads(capsys.readouterr().out)["run"]["ids"])
    assert ids[0] == ids[1] != ids[2]


def test_verify_shows_its_checks(project: Path, capsys: Capture) -> None:
    assert cli.run(["verify", str(project), "--ids", "1,2", "--no-python"]) == 0
    out = capsys.readouterr().out
    assert "✓  device = host, bit for bit" in out and "verdict" in out


def test_verify_as_json(project: Path, capsys: Capture) -> None:
    assert cli.run(["verify", str(project), "--ids", "1,2", "--no-python", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] and data["verdict"] == "ok" and data["host"]["digest"] == data["run"]["digest"]


def test_verify_with_a_difference_is_code_7(project: Path, tmp_path: Path, capsys: Capture) -> None:
    """A kernel that computes something else on the device, from position 3 on."""
    spoiled = tmp_path / "project"
    shutil.copytree(project, spoiled, ignore=shutil.ignore_patterns("build"))
    plan = spoiled / "model" / "plan.cpp"
    line = "state[0] += static_cast<float>(*id + 1) / static_cast<float>(*position + 3);"
    text = plan.read_text()
    assert line in text
    wrong = f"{line}\n#if defined(__arm__)\n        if (*position >= 3) state[0] += 0.001f;\n#endif"
    plan.write_text(text.replace(line, wrong))
    assert cli.run(["verify", str(spoiled), "--ids", "1,2,3,4,5,6", "--tokens", "3", "--no-python"]) == 7
    out, err = capsys.readouterr()
    assert "✗  device = host" in out and "the first step that differs is step 4 of" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--ids", "1", "--prompt", "x"], 2, "exclude each other"),
        (["--ids", "1,x"], 2, "numbers between commas"),
        (["--ids", "99"], 2, "0 to 15"),
        (["--ids", ",".join(["1"] * 13)], 2, "cache holds 12"),
        (["--prompt", ""], 2, "prompt is empty"),
        (["--steps", "2"], 2, "is a language model"),
        (["--tokens", "-1"], 2, "tokens is a number"),
        (["--top-k", "4"], 2, "--top-k is for tokens that are drawn"),
        (["--top-k", "0", "--temperature", "0"], 2, "--top-k is for tokens that are drawn"),
        (["--seed", "0"], 2, "--seed is for tokens that are drawn"),
        (["--json", "--markdown"], 2, "--json and --markdown exclude each other"),
        (["--temperature", "2000"], 2, "0 to 1000"),
        (["--simulator", "renode"], 2, "no simulator"),
        (["--prompt", "hello"], 3, "no tokenizer"),
        (["--board", "nix"], 3, "no board"),
        (["--board", "host"], 2, "generated for the board"),
        (["--port", "/dev/no-such-port"], 4, "There is no serial port"),
        (["--timeout", "0.001"], 124, "within 0.001 seconds"),
    ],
)
def test_run_refuses(arguments: list[str], code: int, words: str, project: Path, capsys: Capture) -> None:
    assert cli.run(["run", str(project), *arguments]) == code
    err = capsys.readouterr().err
    assert words in err and err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("verb", ["build", "run", "verify"])
def test_a_folder_that_is_no_project_is_code_2(verb: str, tmp_path: Path, capsys: Capture) -> None:
    assert cli.run([verb, str(tmp_path)]) == 2
    assert "not a project" in capsys.readouterr().err


def test_an_unknown_preset_is_code_2(project: Path, capsys: Capture) -> None:
    assert cli.run(["build", str(project), "--preset", "fast"]) == 2
    assert "release, debug, host, host-debug" in capsys.readouterr().err


def test_a_source_that_does_not_compile_is_code_6(project: Path, tmp_path: Path, capsys: Capture) -> None:
    broken = tmp_path / "project"
    shutil.copytree(project, broken, ignore=shutil.ignore_patterns("build"))
    (broken / "app" / "main.cpp").write_text("int main( {\n")
    assert cli.run(["build", str(broken)]) == 6
    err = capsys.readouterr().err
    assert "main.cpp" in err and "build.log" in err


def test_a_firmware_that_crashes_is_code_7_with_the_fault(
    project: Path, tmp_path: Path, capsys: Capture
) -> None:
    broken = tmp_path / "project"
    shutil.copytree(project, broken, ignore=shutil.ignore_patterns("build"))
    main = (broken / "app" / "main.cpp").read_text()
    crash = 'LanguageModel language_model;\n    asm volatile("udf #0");'
    assert "LanguageModel language_model;" in main
    (broken / "app" / "main.cpp").write_text(main.replace("LanguageModel language_model;", crash))
    assert cli.run(["run", str(broken), "--ids", "1"]) == 7
    assert "usage_fault" in capsys.readouterr().err
