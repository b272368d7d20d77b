"""`refused([...], code)`: a command line that has to end in one clear paragraph, and to leave nothing behind."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.console import set_quiet

LONGEST_PARAGRAPH = 1200
"""Characters that an error may take: what was expected, what was found, what to try."""

Refused = Callable[..., str]


def listing(folder: Path) -> dict[str, str]:
    """Every entry below `folder`, hidden ones included, with a digest of its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        is_file = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = (
            hashlib.sha256(path.read_bytes()).hexdigest() if is_file else "-"
        )
    return found


@pytest.fixture(autouse=True)
def _loud() -> Iterator[None]:
    """`--quiet` is a setting of the process."""
    yield
    set_quiet(False)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def project(checkpoint: Callable[[str], Path], shared_folder: Path) -> Path:
    """The tiny Llama, 16 positions, generated for the host once for all workers: not to be changed."""
    folder = shared_folder / "bad-input-project"
    command = ["generate", "--board=host", "--max-cache-len=16", f"--output={folder}"]
    with (shared_folder / "bad-input.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            assert cli.run([*command, "--model", str(checkpoint("llama-odd"))]) == 0
    return folder


@pytest.fixture
def refused(work: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """`refused(arguments, code, *words)` checks everything that holds for every refusal; returns the paragraph.

    With --quiet the standard error is the paragraph and nothing else; standard output is empty; no file below the
    test's folder appears, vanishes or changes. Each of `words` occurs in the paragraph.
    """

    def check(arguments: list[str], code: int, *words: str) -> str:
        before = listing(tmp_path)
        capfd.readouterr()
        found = cli.run(["--quiet", *arguments])
        out, err = capfd.readouterr()
        assert found == code, err
        assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err
        assert "Traceback" not in err and "defect in mcu-sdk" not in err
        assert len(err) <= LONGEST_PARAGRAPH, f"{len(err)} characters: {err}"
        assert out == ""
        assert listing(tmp_path) == before
        for word in words:
            assert word in err, err
        return err

    return check


@pytest.fixture
def copied(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """`copied(config={...}, name="model")`: a copy of the tiny Llama to spoil, its configuration changed.

    A value of None takes the key out.
    """

    def copy(config: dict[str, object] | None = None, name: str = "model") -> Path:
        folder = tmp_path / name
        shutil.copytree(checkpoint("llama-odd"), folder)
        settings = json.loads((folder / "config.json").read_text())
        for key, value in (config or {}).items():
            settings[key] = value
            if value is None:
                del settings[key]
        (folder / "config.json").write_text(json.dumps(settings))
        return folder

    return copy
