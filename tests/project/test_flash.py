"""A project's firmware onto its board: what is checked before, and gdb against QEMU's debug server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.cli import run as run_cli
from mcu_sdk.errors import BoardError, BuildError, DeviceMissingError, RunError, UsageError
from mcu_sdk.project.flash import choose_runner, prepare
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.targets.flash.runner import flash_runner
from mcu_sdk.targets.protocol import Listener, News, Request
from mcu_sdk.targets.tool import Finished

REQUEST = Request(ids=(1, 2), tokens=3)
EOT = b"\x04"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """QEMU with corstone-300's machine, empty and stopped, where its debug server listens, and its console."""
    command = [part for part in load_board("corstone-300").simulator["qemu"].command if part != "-kernel"]
    remote = f"127.0.0.1:{free_port()}"
    command = [*command[:-1], "-gdb", f"tcp:{remote}", "-S"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    host, port = remote.split(":")
    while process.poll() is None:
        try:
            socket.create_connection((host, int(port))).close()
            break
        except OSError:
            time.sleep(0.05)
    yield remote, process
    process.kill()
    process.communicate()


def gdb(project: Project, probe: str) -> None:
    flashing = prepare(project, runner="gdb", probe=probe, with_build=False)
    flashing.runner.flash(flashing.job)


def test_gdb_loads_compares_and_runs_to_the_verdict(
    tiny_project: Path, server: tuple[str, subprocess.Popen[bytes]], on_host: Callable[[Path, bytes], bytes]
) -> None:
    remote, process = server
    question = REQUEST.encode(7) + EOT
    gdb(open_project(tiny_project), remote)
    answer, _ = process.communicate(question, timeout=60)
    assert process.returncode == 0
    digests = []
    for said in (answer, on_host(tiny_project / "build/host/firmware", question)):
        listener = Listener(7)
        assert News.ANSWERED in listener.feed(said)
        digests.append(listener.transcript().digest)
    assert digests[0] is not None and digests[0] == digests[1]


def test_gdb_names_another_chip_and_writes_nothing(
    tiny_project: Path, server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    remote, process = server
    packaged = load_board("corstone-300")
    other = packaged.model_copy(update={"core": packaged.core.model_copy(update={"cpu": "cortex-m33"})})
    opened = open_project(tiny_project)
    with pytest.raises(BoardError, match="has a cortex-m33; the processor behind the probe is a cortex-m55"):
        gdb(Project(opened.folder, opened.manifest, other), remote)
    assert process.poll() is None


def test_a_server_that_is_not_there_is_named(tiny_project: Path) -> None:
    with pytest.raises(DeviceMissingError, match=r"No debug server listens at 127\.0\.0\.1:9"):
        gdb(open_project(tiny_project), "127.0.0.1:9")
    with pytest.raises(UsageError, match=r"takes HOST:PORT for gdb, not '\| true'"):
        gdb(open_project(tiny_project), "| true")


def test_gdb_s_words_are_not_believed(tiny_project: Path) -> None:
    """It goes on after an error, and ends with 0 where sections differ."""
    flashing = prepare(open_project(tiny_project), runner="gdb", with_build=False)
    judge, size = flashing.runner.steps(flashing.job)[1].judge, flashing.job.bytes
    good = f"Start address 0x00001564, load size {size}\nSection .text, range 0x0 -- 0x9: matched.\n"
    judge(Finished(0, good))
    for said, complaint in (
        (good.replace("matched", "MIS-MATCHED!"), r"\.text differ"),
        (good.replace(f"size {size}", "size 12"), "12 of .* bytes were loaded"),
        (good.splitlines()[0], "does not hold"),
        ("Error writing data to flash\n", "gdb failed at localhost:3333: Error writing"),
    ):
        with pytest.raises(RunError, match=complaint):
            judge(Finished(0, said))


def test_only_what_is_the_project_s_own_is_written(tiny_project: Path, tmp_path: Path) -> None:
    project = tmp_path / "copy"
    shutil.copytree(tiny_project, project, ignore=shutil.ignore_patterns("host*"))
    opened = open_project(project)
    assert prepare(opened, runner="gdb").job.bytes > 0  # built anew: the folder is another
    assert prepare(opened, runner="gdb", with_build=False)
    header = project / "model/model.h"
    text = header.read_text()
    header.write_text(text.replace(opened.manifest.model.sha256, "ab" * 32))
    with pytest.raises(BuildError, match=r"older than what it is made of.*mcu-sdk build"):
        prepare(opened, runner="gdb", with_build=False)
    with pytest.raises(BuildError, match="not made for the project's model"):
        prepare(opened, runner="gdb")
    header.write_text(text.replace('"corstone-300"', '"corstone-310"'))
    with pytest.raises(BuildError, match="not made for the project's board 'corstone-300'"):
        prepare(opened, runner="gdb")
    shutil.rmtree(project / "build")
    with pytest.raises(BuildError, match="has not been built"):
        prepare(opened, runner="gdb", with_build=False)


def test_the_image_that_tests_itself_is_another_one(tiny_project: Path) -> None:
    """It has its folder, and is not there until it was built."""
    opened = open_project(tiny_project)
    with pytest.raises(BuildError, match=r"no .*build/release-self-test/firmware.elf") as caught:
        prepare(opened, runner="gdb", with_build=False, self_test=True)
    assert f"mcu-sdk build {tiny_project} --self-test" in caught.value.hint


def test_the_runner_is_the_board_s_or_the_one_that_is_named(tiny_project: Path) -> None:
    opened = open_project(tiny_project)
    assert choose_runner(opened, "gdb") == "gdb"
    with pytest.raises(UsageError, match=r"corstone-300 has no \[flash\].*--runner gdb"):
        choose_runner(opened, None)
    host = Project(opened.folder, opened.manifest, load_board("host"))
    with pytest.raises(UsageError, match="nothing to flash"):
        choose_runner(host, "gdb")
    with pytest.raises(UsageError, match=r"no runner 'dfu'.*pyocd, openocd, gdb"):
        flash_runner("dfu")
    with pytest.raises(UsageError, match=r"no \[flash.pyocd\]"):
        prepare(opened, runner="pyocd", with_build=False)


def test_a_dry_run_prints_the_commands(tiny_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["flash", str(tiny_project), "--runner", "gdb", "--no-build", "--dry-run"]
    assert run_cli(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    program = tiny_project.resolve() / "build/release/firmware.elf"
    assert len(lines) == 2 and all("-ex 'target extended-remote localhost:3333'" in line for line in lines)
    assert lines[1].endswith(f"-ex detach {program}")
    assert run_cli([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runner"], told["board"], told["flashed"]) == ("gdb", "corstone-300", False)
    assert told["bytes"] == sum(each["bytes"] for each in told["segments"])
