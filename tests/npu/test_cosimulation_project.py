"""A generated project beside a simulated NPU: one digest everywhere, and the commands' errors and interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli, resources
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.registers import Run
from mcu_sdk.npu.simulator import Simulator
from mcu_sdk.project.build import BuildResult
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.made_up import made_up_inputs
from mcu_sdk.project.opened import Project
from mcu_sdk.project.runners import run_on
from mcu_sdk.targets.protocol import Request, Transcript
from tests.npu.conftest import generated
from tests.npu.programs import place, with_word

ENDLESS = Request(steps=1_000_000)
SECONDS = 60

Start = Callable[..., Transcript]


@pytest.fixture(params=["qemu", "host"])
def start(request: pytest.FixtureRequest, npu_project: Project, npu_builds: dict[str, BuildResult]) -> Start:
    """`start(request, timeout=, observer=)` on QEMU, and on this computer."""
    program = npu_builds[request.param].program
    return lambda wanted, **more: run_on(request.param, npu_project, program, wanted, **more)


def test_every_way_computes_the_same(npu_project: Project, npu_builds: dict[str, BuildResult]) -> None:
    """QEMU, a process and a library in this process: one digest; another seed gives another one."""
    model = HostModel(npu_builds["host"].library or Path(), npu_project.accelerator)
    shapes = [(array.dtype.name, array.size) for array in model.inputs]
    digests = []
    for seed in (1, 2):
        wanted = Request(steps=4, seed=seed)
        found = {
            run_on("qemu", npu_project, npu_builds["qemu"].program, wanted).digest,
            run_on("host", npu_project, npu_builds["host"].program, wanted).digest,
        }
        model.reset()
        outputs = [out for values in made_up_inputs(shapes, seed, 4) for out in model.run(values)]
        assert found == {f"{model.digest(outputs):016x}"}
        assert len({out.tobytes() for out in outputs}) == 4  # no constant
        digests += found
    assert digests[0] != digests[1]


def test_the_observer_sees_each_run(start: Start, npu_program: Path) -> None:
    """The stream of the .pte, and its inputs in the scratch, which differ from step to step."""
    data = npu_program.read_bytes()
    where = place(data)
    blob = read_blob(data[where.blob : where.blob + where.blob_size])
    (given,) = blob.inputs
    (made,) = blob.outputs
    seen: list[tuple[bytes, bytes]] = []

    def observe(run: Run) -> Callable[[], None]:
        weights, scratch = run.regions[:2]
        assert weights is not None and scratch is not None
        assert run.stream == blob.commands[where.stream - where.commands :]
        assert weights[: len(blob.weights)].tobytes() == blob.weights
        before = scratch[given.offset :][: given.size_bytes].tobytes()
        return lambda: seen.append((before, scratch[made.offset :][: made.size_bytes].tobytes()))

    start(Request(steps=5), observer=observe)
    assert len(seen) == 5
    assert len({inputs for inputs, _ in seen}) == 5 and len({outputs for _, outputs in seen}) == 5


def test_an_error_in_the_library_is_raised_and_the_next_step_goes_on(
    npu_project: Project, npu_builds: dict[str, BuildResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through C no exception passes: it is kept, and told by the call that ran the model."""
    model = HostModel(npu_builds["host"].library or Path(), npu_project.accelerator)
    inputs = [array.copy() for array in model.inputs]
    expected = [out.tobytes() for out in model.run(inputs)]
    with monkeypatch.context() as patch:
        patch.setattr(Simulator, "run", fail)
        with pytest.raises(ZeroDivisionError, match="made for the test"):
            model.run(inputs)
    assert [out.tobytes() for out in model.run(inputs)] == expected


def fail(*_: object) -> None:
    raise ZeroDivisionError("made for the test")


@pytest.mark.parametrize(
    ("simulator", "found"),
    [
        ("qemu", "ethos-u55-128, simulated; for this run arena and weights lie in ddr, which QEMU shares"),
        ("host", "ethos-u55-128, simulated"),
    ],
)
def test_the_report_says_what_stands_for_the_npu(
    npu_project: Project, capfd: pytest.CaptureFixture[str], simulator: str, found: str
) -> None:
    capfd.readouterr()
    command = ["--quiet", "run", str(npu_project.folder), f"--simulator={simulator}", "--json"]
    assert cli.run(command) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["npu"] == found
    if simulator == "qemu":
        used = {region["name"]: region["used_bytes"] for region in report["regions"]}
        assert used["ddr"] > 0 and used["isram"] == used["sram"] == 0


@pytest.mark.parametrize("simulator", [pytest.param("qemu", marks=pytest.mark.slow), "host"])
def test_a_stream_that_the_simulator_refuses(
    simulator: str, npu_program: Path, shared_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command BLOCKDEP becomes one that there is not: exit code 7 and its name, not a time-out."""
    program = shared_folder / "refused.pte"
    program.write_bytes(with_word(npu_program.read_bytes(), lambda opcode: opcode == 0x12F, 0x3FF))
    project = generated(program, shared_folder / "npu-refused")
    capfd.readouterr()
    assert cli.run(["--quiet", "run", str(project.folder), f"--simulator={simulator}"]) == 7
    message = capfd.readouterr().err
    assert message.startswith("error: The simulated NPU stopped at word ") and "0x3ff" in message


def test_ctrl_c_at_the_command(
    npu_project: Project, npu_builds: dict[str, BuildResult], tmp_path: Path
) -> None:
    """SIGINT while QEMU runs: exit code 130, one line, and QEMU is gone."""
    command = [sys.executable, "-m", "mcu_sdk.cli", "--quiet", "run", str(npu_project.folder)]
    running = subprocess.Popen(
        [*command, f"--steps={ENDLESS.steps}"],
        env={**os.environ, "PYTHONPATH": str(resources.PACKAGE.parent), "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        emulator = wait_for_qemu(tmp_path)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=SECONDS)
    finally:
        running.kill()
        running.communicate()
    assert (running.returncode, out, err) == (130, "", "error: Interrupted.\n")
    assert not Path(f"/proc/{emulator}").exists()
    assert list(tmp_path.iterdir()) == []


def wait_for_qemu(temporary: Path) -> int:
    """The process id of the QEMU that uses that folder, once it and its firmware are at work."""
    mark = f"TMPDIR={temporary}".encode()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for entry in Path("/proc").iterdir():
            try:
                ours = entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0")
                if ours and "qemu-system-arm" in os.readlink(entry / "exe"):
                    return int(entry.name)
            except OSError:  # it has ended
                continue
        time.sleep(0.05)
    raise AssertionError("QEMU was not started")
