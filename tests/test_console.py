"""What reaches the terminal of the libraries below: nothing in normal use, all of it with --debug."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from mcu_sdk import cache, cli
from mcu_sdk.commands import boards

LIBRARIES = """
from mcu_sdk import cli
from mcu_sdk.commands import boards
def verb() -> None:
    import torchao.quantization.pt2e, transformers, torch, warnings, logging
    warnings.warn("a library's warning")
    logging.getLogger("torch").warning("a library's log")
    from transformers.utils import logging as bars
    list(bars.tqdm(range(3), desc="Writing model shards"))
    from tqdm.auto import tqdm
    list(tqdm(range(3), desc="A bar of tqdm itself"))
boards.boards_command = verb
raise SystemExit(cli.run([*{before}, "boards"]))
"""


def run(*before: str) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_HUB_DISABLE", "TRANSF", "TQDM"))
    }
    program = LIBRARIES.replace("{before}", repr(list(before)))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout + done.stderr


def test_the_libraries_are_quiet() -> None:
    assert run() == ""


@pytest.mark.slow
def test_debug_lets_them_through() -> None:
    shown = run("--debug")
    for words in ("a library's warning", "a library's log", "Writing model shards", "A bar of tqdm"):
        assert words in shown


def test_loggers_are_as_before_when_a_verb_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    monkeypatch.setattr(boards, "boards_command", lambda: seen.append(logging.root.manager.disable))
    for words in ([], ["--quiet"], ["--debug"]):
        assert cli.run([*words, "boards"]) == 0
    assert seen == [logging.WARNING, logging.WARNING, 0] and logging.root.manager.disable == 0


def test_the_caches_key_knows_vela(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.key_of({})
    real = cache.version
    for package in ("ethos-u-vela", "tosa-tools", "torch"):
        monkeypatch.setattr(cache, "version", lambda name, p=package: "0" if name == p else real(name))
        assert cache.key_of({}) != before
