"""`run` and `verify` on a user's own data: arrays in .npy files, prompts in a file, on standard input, and as they are
typed."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mcu_sdk import cli, run, run_prompts, verify_prompts
from mcu_sdk.errors import TextError, UsageError
from mcu_sdk.generation import generate
from mcu_sdk.model.tokenizer import read_text
from mcu_sdk.options import GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.files import replace_file
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.render import render_project
from tests.checkpoints import small_tokenizer
from tests.project.conftest import make_inputs

Capture = pytest.CaptureFixture[str]
BOTH = ("--input", "input_0=x.npy", "--input", "input_1=row.npy")
FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model with a tokenizer, as a project for this computer."""
    folder = tmp_path_factory.mktemp("talker")
    tokenizer = small_tokenizer(folder / "tokenizer.json")
    request = GenerateRequest(
        "host", pte=FIXTURES / "decoder-rows.pte", tokenizer=tokenizer, output=folder / "project"
    )
    made = generate(request).project
    for preset in ("release", "host-debug"):
        build(made, preset)
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model without a tokenizer."""
    return render_project(make_inputs("host"), tmp_path_factory.mktemp("silent") / "project")


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """x.npy and row.npy of one step, xs.npy and rows.npy of three."""
    draw = np.random.default_rng(2)
    np.save(tmp_path / "x.npy", draw.standard_normal((1, 8)).astype(np.float32))
    np.save(tmp_path / "row.npy", np.array([1]))
    np.save(tmp_path / "xs.npy", draw.standard_normal((3, 1, 8)))
    np.save(tmp_path / "rows.npy", np.array([[0], [1], [0]], dtype=np.int16))
    return tmp_path


# ---- arrays


@pytest.mark.parametrize("simulator", ["qemu", "host"])
def test_arrays_go_in_and_outputs_come_out(
    tensor_project: Path, arrays: Path, simulator: str, capsys: Capture
) -> None:
    inputs = ["--input", f"input_0={arrays}/xs.npy", "--input", f"1={arrays}/rows.npy"]
    outputs = ["--output", f"output_0={arrays}/y.npy", "--output", f"output_3={arrays}/z.npy"]
    arguments = ["run", str(tensor_project), *inputs, *outputs, "--simulator", simulator, "--json"]
    assert cli.run(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    model = HostModel.of(tensor_project)
    model.reset()
    xs, rows = np.load(arrays / "xs.npy").astype(np.float32), np.load(arrays / "rows.npy").astype(np.int64)
    wanted = [model.run([x, row]) for x, row in zip(xs, rows, strict=True)]
    y, z = np.load(arrays / "y.npy"), np.load(arrays / "z.npy")
    assert y.shape == (3, 1, 8) and z.dtype == np.float32
    assert (y == np.stack([step[0] for step in wanted])).all()
    assert (z == np.stack([step[3] for step in wanted])).all()
    assert [output["name"] for output in told["outputs"]] == [f"output_{i}" for i in range(4)]
    assert told["outputs"][0]["file"].endswith("y.npy") and told["run"]["steps"] == 3
    assert np.array_equal(told["outputs"][1]["values"], np.stack([step[1] for step in wanted]))


def test_outputs_are_shown_where_no_file_is_named(
    tensor_project: Path, arrays: Path, capsys: Capture
) -> None:
    inputs = ["--input", f"input_0={arrays}/x.npy", "--input", f"input_1={arrays}/row.npy"]
    assert cli.run(["run", str(tensor_project), *inputs, "--simulator", "host"]) == 0
    out = capsys.readouterr().out
    assert "output_0  float32[1, 8]  " in out and "digest of all outputs" in out
    assert not [path for path in arrays.iterdir() if path.suffix != ".npy"]


def test_verify_compares_the_outputs_on_the_users_arrays(
    tensor_project: Path, arrays: Path, capsys: Capture
) -> None:
    inputs = ["--input", f"input_0={arrays}/xs.npy", "--input", f"input_1={arrays}/rows.npy"]
    assert cli.run(["verify", str(tensor_project), *inputs, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and [check["name"] for check in told["checks"]] == [
        "device = host, bit for bit",
        "host = PyTorch, within a bound",
    ]
    assert "over 3 steps" in told["checks"][0]["detail"]


@pytest.mark.parametrize(
    "special", [*(pytest.param(value, marks=pytest.mark.slow) for value in (np.inf, -np.inf)), np.nan]
)
def test_verify_takes_what_is_not_finite(
    special: float, tensor_project: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The NaN that comes of infinities has another sign on an x86 than on an Arm core."""
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)
    x[0, ::3] = special
    x[0, 1] = -special
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "row.npy", np.array([1]))
    inputs = ["--input", f"input_0={tmp_path}/x.npy", "--input", f"input_1={tmp_path}/row.npy"]
    assert cli.run(["-q", "verify", str(tensor_project), *inputs, "--no-python"]) == 0, (
        capsys.readouterr().err
    )
    capsys.readouterr()
    assert cli.run(["-q", "run", str(tensor_project), *inputs, "--json"]) == 0
    assert None in json.loads(capsys.readouterr().out)["outputs"][0]["values"][0]


def test_from_python(tensor_project: Path, arrays: Path) -> None:
    x, row = np.load(arrays / "x.npy"), np.load(arrays / "row.npy")
    ran = run(tensor_project, inputs=[x, row], simulator="host")
    by_name = run(tensor_project, inputs={"input_1": row, "input_0": x}, simulator="host")
    assert ran.outputs.keys() == {f"output_{i}" for i in range(4)} and ran.outputs["output_0"].shape == (1, 8)
    assert all((ran.outputs[name] == by_name.outputs[name]).all() for name in ran.outputs)
    with pytest.raises(UsageError, match="exclude"):
        run(tensor_project, inputs=[x, row], steps=3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "x.npy"], "needs a name where the model has 2"),
        (["--input", "input_0=x.npy"], "none was given for input_1"),
        (["--input", "y=x.npy", "--input", "input_1=row.npy"], "nothing named 'y'"),
        (["--input", "input_0=x.npy", "--input", "0=x.npy"], "given twice"),
        (["--input", "x.npy", "--input", "row.npy"], "once for each name"),
        (["--input", "input_0=row.npy", "--input", "input_1=row.npy"], "is float32[1, 8]; found is int64[1]"),
        (["--input", "input_0=x.npy", "--input", "input_1=x.npy"], "is int64[1]; found is float32[1, 8]"),
        (["--input", "input_0=none.npy", "--input", "input_1=row.npy"], "cannot be read"),
        (["--input", "input_0=.", "--input", "input_1=row.npy"], "cannot be read"),
        (["--input", "input_0=text.npy", "--input", "input_1=row.npy"], "is no .npy file"),
        (["--input", "input_0=objects.npy", "--input", "input_1=row.npy"], "is no .npy file"),
        (["--input", "input_0=cut.npy", "--input", "input_1=row.npy"], "is no .npy file"),
        (["--input", "input_0=two.npy", "--input", "input_1=row.npy"], "goes on behind its array"),
        (["--input", "input_0=xs.npy", "--input", "input_1=twos.npy"], "as many steps as the others"),
        (["--input", "input_0=flat.npy", "--input", "input_1=row.npy"], "or several of them behind one more"),
        (["--input", "input_0=empty.npy", "--input", "input_1=row.npy"], "has no steps: it is float32[0, 1, 8]"),
        (["--input", "input_0=huge.npy", "--input", "input_1=row.npy"], "values that float32 cannot hold"),
        (["--input", "input_0=x.npy", "--steps", "3"], "--steps and --input exclude each other"),
        (["--output", "y.npy"], "--output writes what --input, --text, --image or --audio gives"),
        ([*BOTH, "--output", "y.npy"], "has 4 of them"),
        ([*BOTH, "--output", "0=no/y.npy"], "does not exist"),
        ([*BOTH, "--output", "0=x.npy"], "named twice"),
        ([*BOTH, "--output", "0=."], "it is a folder"),
        ([*BOTH, "--output", "0=pipe"], "it is a device or a pipe, which a file would replace"),
        (["--input", "input_0=x.npy", "--profile"], "exclude each other"),
        (["--prompts", "text.npy"], "takes tensors, not prompts"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_named(
    arguments: list[str],
    words: str,
    tensor_project: Path,
    arrays: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(arrays)
    whole = (arrays / "x.npy").read_bytes()
    Path("text.npy").write_text("hello")
    Path("cut.npy").write_bytes(whole[:-1])
    Path("two.npy").write_bytes(whole * 2)
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    os.mkfifo("pipe")
    np.save("twos.npy", np.array([[1], [1]]))
    np.save("empty.npy", np.zeros((0, 1, 8), np.float32))
    np.save("flat.npy", np.zeros(8, np.float32))
    np.save("huge.npy", np.full((1, 8), 1e300))
    assert cli.run(["run", str(tensor_project), *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err and err.splitlines()[-1].startswith("error: ") and not out
    assert (arrays / "x.npy").read_bytes() == whole


def test_a_language_model_takes_no_arrays(
    project: Path,
    arrays: Path,
    capsys: Capture,
) -> None:
    assert cli.run(["run", str(project), "--input", str(arrays / "x.npy")]) == 2
    assert "takes tokens, not tensors" in capsys.readouterr().err
    (arrays / "prompts.txt").write_text("low")
    assert cli.run(["run", str(project), "--prompts", str(arrays / "prompts.txt")]) == 3
    assert "has no tokenizer" in capsys.readouterr().err


def test_what_a_command_prints_into_is_not_replaced(tmp_path: Path) -> None:
    """`--junit /dev/stdout > file` named the file."""
    code = "import sys; from pathlib import Path; from mcu_sdk.project.files import replace_file, why_not_writable; "
    code += (
        "print(why_not_writable(Path('/dev/stdout')), flush=True); replace_file(Path('/dev/stdout'), 'lost')"
    )
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run([sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b"own output" in done.stderr
    assert (tmp_path / "out").read_text() == "it is where this command's own output goes\n"


def test_a_link_stays_one_and_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(file)
    replace_file(link, b"new")
    assert link.is_symlink() and file.read_bytes() == b"new"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a device or a pipe"):
        replace_file(pipe, "new")
    assert pipe.is_fifo() and len(list(tmp_path.iterdir())) == 3


# ---- prompts


def test_a_file_of_prompts(talker: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("the cat\r\n\n  \nlow\nlower", encoding="utf-8")
    assert cli.run(["run", str(talker), "--prompts", str(file), "--tokens", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [answer["prompt"] for answer in told["answers"]] == ["the cat", "low", "lower"]
    alone = run(talker, prompt="low", tokens=3).transcript
    assert told["answers"][1]["digest"] == alone.digest and told["answers"][1]["ids"] == list(alone.ids)
    assert cli.run(["run", str(talker), "--prompts", str(file), "--tokens", "3"]) == 0
    out = capsys.readouterr().out
    assert f"low{alone.text}\nlower" in out and "digest of all outputs" in out


def test_a_byte_order_mark_is_no_part_of_a_prompt(
    talker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Editors on Windows write one; the model would read it as a character."""
    data = b"\xef\xbb\xbflow\r\nlower\r\n"
    file = tmp_path / "prompts.txt"
    file.write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    for name in (str(file), "-"):
        assert cli.run(["run", str(talker), "--prompts", name, "--tokens", "1", "--json"]) == 0
        answers = json.loads(capsys.readouterr().out)["answers"]
        assert [answer["prompt"] for answer in answers] == ["low", "lower"]
    assert read_text(file, "to measure on") == "low\nlower\n"


def test_a_prompt_that_is_refused_stops_no_other(talker: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("low\n" + "low " * 60 + "\nlower\n")
    assert cli.run(["run", str(talker), "--prompts", str(file), "--tokens", "2", "--json"]) == 2
    out, err = capsys.readouterr()
    answers = json.loads(out)["answers"]
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert "1 of 3 prompts were refused; the first is number 2" in err


def test_prompts_on_standard_input(talker: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def stdin(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    stdin("low\nder Bär\n".encode())
    assert cli.run(["run", str(talker), "--prompts", "-", "--tokens", "1", "--json"]) == 3
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [answer["prompt"] for answer in answers] == ["low", "der Bär"]
    for data, words in (
        (b"low\n\xff\n", "Line 2 of standard input"),
        (b" \n", "no prompts in standard input"),
    ):
        stdin(data)
        assert cli.run(["run", str(talker), "--prompts", "-"]) == 3
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\n\n", None])
def test_a_file_that_has_no_prompts_is_named(
    content: bytes | None, talker: Path, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_bytes(content)
    for verb in ("run", "verify"):
        assert cli.run([verb, str(talker), "--prompts", str(file)]) == 3
        assert "rompts" in capsys.readouterr().err


def test_verify_checks_each_prompt(talker: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("low\nlower\n")
    arguments = ["verify", str(talker), "--prompts", str(file), "--tokens", "2", "--no-python"]
    assert cli.run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and [answer["prompt"] for answer in told["answers"]] == ["low", "lower"]
    assert all(answer["checks"][0]["ok"] for answer in told["answers"])
    assert cli.run(arguments) == 0
    assert capsys.readouterr().out.count("✓  device = host") == 2


def test_verify_writes_its_checks_for_ci(talker: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "prompts.txt").write_text("low\nlower\n")
    junit = tmp_path / "checks.xml"
    arguments = ["verify", str(talker), "--no-python", "--tokens", "1", "--junit", str(junit)]
    assert cli.run([*arguments, "--prompts", str(tmp_path / "prompts.txt")]) == 0
    suite = ElementTree.parse(junit).getroot()[0]
    assert suite.attrib["tests"] == "2" and suite.attrib["failures"] == suite.attrib["errors"] == "0"
    assert [case.attrib["name"] for case in suite] == [
        "1 'low': device = host, bit for bit",
        "2 'lower': device = host, bit for bit",
    ]
    assert cli.run([*arguments, "--prompt", "low " * 60]) == 2
    suite = ElementTree.parse(junit).getroot()[0]
    assert suite.attrib["errors"] == "1" and "refused" in str(suite[0][0].text)
    assert cli.run(["verify", str(talker), "--junit", str(tmp_path)]) == 2
    assert "it is a folder" in capsys.readouterr().err


def test_prompts_from_python(talker: Path, project: Path) -> None:
    typed = iter(["low", "low " * 60, "lower"])
    came: list[str] = []
    found = run_prompts(talker, typed, tokens=2, on_prompt=came.append)
    assert came == [answer.prompt for answer in found.answers] and len(came) == 3
    assert [answer.error is None for answer in found.answers] == [True, False, True]
    assert found.report.run == found.answers[2].transcript
    with pytest.raises(UsageError, match="Request 2 of 2"):
        verify_prompts(talker, ["low", "low " * 60], with_python=False)
    with pytest.raises(TextError, match="no tokenizer"):
        run_prompts(project, ["low"])


def test_a_conversation_on_a_terminal(talker: Path) -> None:
    """Prompts are typed, a refusal ends nothing, Ctrl-D does."""
    terminal, theirs = pty.openpty()
    program = "import sys; from mcu_sdk.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "run", str(talker), "--tokens", "2"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(theirs)
    try:
        said = read_until(terminal, b"> ")
        for prompt in ("low", "low " * 60, "", "lower"):
            os.write(terminal, prompt.encode() + b"\n")
            said += read_until(terminal, b"> ")
        os.write(terminal, b"\x04")
        said += read_until(terminal, b"digest of all outputs")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    text = said.decode()
    assert "Ctrl-D ends." in text
    for prompt in ("low", "lower"):
        assert run(talker, prompt=prompt, tokens=2).transcript.text in text


def read_until(terminal: int, end: bytes) -> bytes:
    said = b""
    while end not in said:
        assert select.select([terminal], [], [], 60)[0], said
        said += os.read(terminal, 4096)
    return said
