"""The command line itself: verbs, help, errors and exit codes, how fast it answers, and the wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mcu_sdk import cli, errors
from mcu_sdk.board.board import board_names

ROOT = Path(__file__).resolve().parent.parent


def all_errors() -> list[type[errors.McuSdkError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.McuSdkError)
    ]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """`raising(error)` makes `mcu-sdk boards` raise it."""

    def install(error: BaseException) -> None:
        def command() -> None:
            raise error

        monkeypatch.setattr(cli, "_load", lambda verb: command)

    return install


# ---- verbs and help


def test_help_lists_every_verb_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {verb}" in shown for verb in cli.VERBS)


def test_every_verb_has_a_module_a_function_and_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.VERBS:
        assert cli.run([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert f"mcu-sdk {name}" in shown and "--json" in shown, name


def test_every_option_is_in_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"--[a-z][a-z-]*", page)) | {"--help"}
    for name in cli.VERBS:
        assert cli.run([name, "--help"]) == 0
        # Options stand at the start of their line; a row may give several spellings, of which one is enough.
        rows = re.findall(r"^  (?:-\w, )?(--[a-z].*?)(?:  | <|$)", capsys.readouterr().out, re.MULTILINE)
        assert rows, name
        for row in rows:
            spellings = set(re.findall(r"--[a-z][a-z-]*", row))
            assert spellings & documented, f"{name}: {row}"


def test_a_verbs_module_that_is_missing_does_not_break_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli.VERBS, "boards", cli.Verb("not_there", "x", "help"))
    assert cli.run(["--help"]) == 0
    assert cli.run(["doctor", "--help"]) == 0
    capsys.readouterr()
    assert cli.run(["boards"]) == 1
    assert "not_there" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == "mcu-sdk 0.1.0\n"


@pytest.mark.parametrize(
    "arguments", [[], ["bild"], ["boards", "--wrong"], ["build"], ["run", "x", "--tokens", "y"]]
)
def test_wrong_usage_is_one_paragraph_and_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and "--help" in err


def test_a_misspelt_verb_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["verfy"])
    assert "verify" in capsys.readouterr().err


# ---- errors


@pytest.mark.parametrize("kind", all_errors())
def test_each_error_class_becomes_a_paragraph_and_its_code(
    kind: type[errors.McuSdkError],
    raising: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    raising(kind("Expected this, found that.", hint="Try something else."))
    assert cli.run(["boards"]) == kind.exit_code
    assert capsys.readouterr().err == "error: Expected this, found that. Try something else.\n"


def test_the_exit_codes_are_the_documented_ones() -> None:
    documented = (ROOT / "docs" / "errors-and-exit-codes.md").read_text(encoding="utf-8")
    assert {kind.exit_code for kind in all_errors()} == {1, 2, 3, 4, 5, 6, 7, 124, 130}
    for kind in all_errors():
        assert f"| {kind.exit_code} |" in documented


def test_a_traceback_appears_only_with_debug(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(errors.BuildError("It failed."))
    assert cli.run(["boards"]) == 6 and "Traceback" not in capsys.readouterr().err
    assert cli.run(["--debug", "boards"]) == 6 and "Traceback" in capsys.readouterr().err


def test_what_no_class_foresees_is_code_1(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(ZeroDivisionError("division by zero"))
    assert cli.run(["boards"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    raising(PermissionError(13, "Permission denied", "/x"))
    assert cli.run(["boards"]) == 1
    assert capsys.readouterr().err == "error: [Errno 13] Permission denied: '/x'.\n"


def test_ctrl_c_is_code_130(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(KeyboardInterrupt())
    assert cli.run(["boards"]) == 130
    assert capsys.readouterr().err == "error: Interrupted.\n"


def test_a_package_that_is_missing_is_told_with_what_installs_it(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(ModuleNotFoundError("No module named 'executorch'", name="executorch.exir"))
    assert cli.run(["boards"]) == 4
    assert "make setup" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m mcu_sdk.cli boards --json | head -c 1"
    finished = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.stdout == "[" and finished.stderr == ""


def test_quiet_silences_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from mcu_sdk.console import log, set_quiet

    monkeypatch.setattr(cli, "_load", lambda verb: lambda: log("news"))
    try:
        cli.run(["boards"])
        assert "news" in capsys.readouterr().err
        cli.run(["--quiet", "boards"])
        assert capsys.readouterr().err == ""
    finally:
        set_quiet(False)


# ---- imports


@pytest.mark.parametrize(
    "arguments", [["--help"], ["boards"], ["doctor"], ["build", "."], ["generate", "--help"]]
)
def test_light_verbs_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from mcu_sdk import cli; cli.run(sys.argv[1:]); "
        "heavy = {'torch', 'executorch', 'transformers', 'numpy', 'jinja2', 'rich'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


# ---- the wheel


def test_the_wheel_carries_boards_templates_and_firmware(tmp_path: Path) -> None:
    wheel_folder, target = tmp_path / "wheel", tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run = SimpleNamespace(check=True, capture_output=True, text=True, timeout=120)
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheel_folder), str(ROOT)],
        **vars(run),
    )
    (wheel,) = wheel_folder.glob("mcu_sdk-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], **vars(run))

    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-m", "mcu_sdk.cli", "boards", "--json"]
    finished = subprocess.run(command, cwd=tmp_path, env=environment, **vars(run))
    assert [board["name"] for board in json.loads(finished.stdout)] == board_names()
    code = (
        "from mcu_sdk import resources as r; import mcu_sdk; print(mcu_sdk.__file__); "
        "print(*(p for f in (r.templates(), r.firmware(), r.boards()) for p in f.rglob('*') if p.is_file()), sep='\\n')"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, **vars(run))
    files = {Path(line).relative_to(target / "mcu_sdk") for line in finished.stdout.splitlines()}
    for folder in ("templates", "firmware", "boards"):
        wanted = {
            p.relative_to(ROOT)
            for p in (ROOT / folder).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert wanted <= files, folder
