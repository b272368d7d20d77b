"""Simulators that answer, die, hang, flood, or leave children behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mcu_sdk.errors import RunError, TargetTimeoutError, ToolMissingError, UsageError
from mcu_sdk.targets import fvp, host, process, qemu
from mcu_sdk.targets.process import run_process
from mcu_sdk.targets.protocol import Request, Transcript

REQUEST = Request(ids=(1, 2), tokens=2)
PREAMBLE = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.targets.firmware import Firmware
firmware = Firmware(lambda data: (sys.stdout.buffer.write(data), sys.stdout.flush()))
def say(text):
    firmware.write(text.encode())
"""
READY = 'say("\\n@mcu ready=1\\n")\n'
TAKE = READY + "line = sys.stdin.readline()\nassert firmware.start(line)\n"
OK = 'say("\\n@mcu model=ab\\n@mcu digest=01\\n")\nfirmware.end()\n'


def simulate(script: str, *arguments: str, timeout: float = 20, request: Request = REQUEST) -> Transcript:
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(script), *arguments]
    return run_process(command, request, name="the fake", install="nothing", timeout=timeout)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> bool:
    for _ in range(100):
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("after_ready", [True, False])
def test_a_target_that_loses_early_input_is_sent_none(after_ready: bool) -> None:
    script = f"""
        import select
        assert bool(select.select([sys.stdin], [], [], 0.2 if {after_ready} else 20)[0]) is not {after_ready}
        """
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(script) + TAKE + OK]
    transcript = run_process(
        command, REQUEST, name="the fake", install="nothing", timeout=20, after_ready=after_ready
    )
    assert transcript.digest == "01"


def test_an_answer_is_returned_and_the_request_was_sent_with_an_end() -> None:
    script = TAKE + 'say(line.split(" ", 2)[2].rsplit(" ", 1)[0])\nsay("|%d" % ord(sys.stdin.read(1)))\n' + OK
    transcript = simulate(script)
    assert transcript.text == REQUEST.encode().decode().strip().removeprefix("@run ") + "|4"
    assert (transcript.digest, transcript.model) == ("01", "ab")


def test_text_streams_while_the_simulator_runs(tmp_path: Path) -> None:
    """The second word is said only once the first has arrived."""
    came: list[str] = []
    arrived = tmp_path / "arrived"
    wait = f"import os\nwhile not os.path.exists({str(arrived)!r}):\n    time.sleep(0.01)\n"
    script = PREAMBLE + TAKE + 'say("first ")\n' + wait + 'say("second")\n' + OK

    def on_text(text: str) -> None:
        came.append(text)
        arrived.touch()

    run_process(
        [sys.executable, "-c", script],
        REQUEST,
        name="the fake",
        install="",
        on_text=on_text,
    )
    assert came == ["first ", "second"]


def test_a_simulator_that_dies_is_an_error_with_what_it_said() -> None:
    with pytest.raises(RunError, match=r"the fake ended with code 3 .*It said: oh . no such board") as caught:
        simulate(TAKE + 'say("Once upon")\nsys.stderr.write("oh\\nno such board\\n")\nsys.exit(3)\n')
    assert caught.value.exit_code == 7


def test_a_simulator_that_crashes_names_the_signal() -> None:
    with pytest.raises(RunError, match="was ended by SIGABRT"):
        simulate(TAKE + "os.abort()\n")


def test_an_end_without_a_verdict_is_an_error() -> None:
    with pytest.raises(RunError, match="without a verdict"):
        simulate(TAKE + 'say("text\\x04")\n')
    with pytest.raises(RunError, match="without a verdict"):
        simulate(TAKE + 'say("text")\nfirmware._crc ^= 1\nfirmware.end()\n')
    with pytest.raises(RunError, match="ended with code 0"):
        simulate("sys.stdout.buffer.write(bytes(range(256)) * 3)\n")


def test_an_answer_counts_even_if_the_simulator_does_not_end_by_itself() -> None:
    assert simulate(TAKE + OK + "time.sleep(60)\n").verdict == "ok"


def test_an_answer_to_another_request_is_none() -> None:
    stale = 'say("@mcu request=1\\nold\\n@mcu digest=02\\n@mcu verdict=ok request=1 crc=00000000\\n\\x04")\n'
    assert simulate("say('boot\\x04')\n" + TAKE.replace("line =", stale + "line =") + OK).text == ""
    with pytest.raises(RunError, match="ended with code 0"):
        simulate(READY + stale)


def test_a_firmware_that_starts_again_is_not_waited_for() -> None:
    with pytest.raises(RunError, match="started again"):
        simulate(TAKE + 'say("Once")\n' + READY + "time.sleep(60)\n", timeout=50)


def test_a_firmware_that_fails_before_it_reads_is_explained_at_once() -> None:
    with pytest.raises(RunError, match=r"stack_overflow \(pc=00000010\)"):
        simulate('say("@mcu verdict=error reason=stack_overflow pc=00000010\\n\\x04")\ntime.sleep(60)\n')


def test_a_simulator_that_hangs_is_ended_with_all_its_children(tmp_path: Path) -> None:
    script = f"""
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
    say("@mcu ready=1\\n")
    time.sleep(100)
    """
    with pytest.raises(TargetTimeoutError, match="within 2 seconds") as caught:
        simulate(script, timeout=2)
    assert caught.value.exit_code == 124
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2 and all(wait_until_gone(pid) for pid in pids)


def test_a_simulator_that_reads_nothing_does_not_block_a_long_request() -> None:
    long = Request(ids=tuple(range(200_000)))  # more than a pipe holds
    with pytest.raises(TargetTimeoutError):
        simulate("time.sleep(100)\n", timeout=1, request=long)


def test_a_flood_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LARGEST_OUTPUT", 1 << 20)
    with pytest.raises(RunError, match="flooded"):
        simulate(READY + 'while True: sys.stdout.write("x" * 65536)\n')


def test_a_flood_on_standard_error_does_not_block() -> None:
    assert simulate('sys.stderr.write("x" * 1000000)\n' + TAKE + OK).verdict == "ok"


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f'open({str(pid_file)!r}, "w").write(str(os.getpid()))\ntime.sleep(100)\n'

    def interrupt() -> None:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        simulate(script, timeout=30)
    assert wait_until_gone(int(pid_file.read_text()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_line_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM as `timeout` sends it: the simulator is in a session of its own and would not get it. SIGKILL as the
    kernel sends it when memory runs out: nobody is left to clean up."""
    pid_file = tmp_path / "pid"
    code = f"""
import sys
from mcu_sdk import cli
from mcu_sdk.targets.process import run_process
from mcu_sdk.targets.protocol import Request
inner = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(100)"
command = [sys.executable, "-c", inner, {str(pid_file)!r}]
cli.run = lambda a: run_process(command, Request(ids=(1,)), name="fake", install="", timeout=60)
cli.main([])
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        for _ in range(200):
            if pid_file.exists() and pid_file.read_text():
                break
            time.sleep(0.05)
        parent.send_signal(number)
        assert parent.wait(20) == (-number if number is signal.SIGKILL else 128 + number)
    finally:
        parent.kill()
        parent.wait()
    assert wait_until_gone(int(pid_file.read_text()))


# ---- the command lines


def test_a_missing_qemu_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcu_sdk.board.board import load_board

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="apt-get install qemu-system-arm"):
        qemu.run(load_board("corstone-300"), tmp_path / "firmware.elf", REQUEST)


def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    (tmp_path / "firmware").write_text("no program")
    with pytest.raises(ToolMissingError, match="cannot be started"):
        host.run(tmp_path / "firmware", REQUEST)


def test_qemus_command_line_is_the_boards(tmp_path: Path) -> None:
    from mcu_sdk.board.board import load_board

    command = qemu.command_line(load_board("corstone-300"), tmp_path / "a b.elf")
    assert command[0] == "qemu-system-arm" and command[-1] == str(tmp_path / "a b.elf")
    assert "mps3-an547" in command and "shift=5,align=off,sleep=off" in command
    with pytest.raises(UsageError, match=r"no \[simulator.qemu\]"):
        qemu.command_line(load_board("host"), tmp_path)


def test_the_fvps_command_line_reads_the_input_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcu_sdk.board.board import load_board

    board = load_board("corstone-300")
    monkeypatch.delenv("MCU_SDK_FVP", raising=False)
    command = fvp.command_line(board, tmp_path / "firmware.elf")
    assert command[0] == "FVP_Corstone_SSE-300_Ethos-U55"
    assert command[-2:] == ["-a", str(tmp_path / "firmware.elf")]
    assert "mps3_board.uart0.in_file={input}" in command and "mps3_board.uart0.out_file=-" in command
    assert board.simulator["fvp"].untested

    parameters = "".join(f"{part}  # (int, init-time)\n" for part in command if "=" in part)
    # A stand-in that answers with what it finds in that file, as the FVP's UART would get it.
    fake = tmp_path / "fvp"
    fake.write_text(
        f"#!{sys.executable}\n{PREAMBLE}"
        f"if '--list-params' in sys.argv:\n    sys.exit(say({parameters!r}))\n"
        "name = [a for a in sys.argv if 'in_file=' in a][0].split('=', 1)[1]\n"
        "line, end = open(name).read().split('\\n')\nfirmware.start(line)\n"
        "say(line[:4] + repr(end) + sys.stdin.read())\n" + OK
    )
    fake.chmod(0o755)
    monkeypatch.setenv("MCU_SDK_FVP", str(fake))
    assert fvp.run(board, tmp_path / "firmware.elf", REQUEST).text == r"@run'\x04'"
    assert not [name for name in os.listdir(tmp_path) if name.startswith("mcu-sdk-")]


def test_a_missing_fvp_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcu_sdk.board.board import load_board

    monkeypatch.setenv("MCU_SDK_FVP", str(tmp_path / "none"))
    with pytest.raises(ToolMissingError, match=r"developer\.arm\.com"):
        fvp.run(load_board("corstone-300"), tmp_path / "firmware.elf", REQUEST)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_a_build_started_ends_with_it(number: signal.Signals, tmp_path: Path) -> None:
    """A signal for the command line alone, as an IDE sends it: CMake's Ninja and Ninja's compilers do not get it."""
    pid_file = tmp_path / "pid"
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from mcu_sdk import cli
from mcu_sdk.targets.tool import run_group
cli.run = lambda a: run_group(["sh", "-c", 'sleep 100 & echo $! > "$0"; wait', {str(pid_file)!r}])
cli.main([])
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(number)
        assert parent.wait(timeout=30) != 0
        assert wait_until_gone(int(pid_file.read_text()))
    finally:
        parent.kill()
        parent.wait()
