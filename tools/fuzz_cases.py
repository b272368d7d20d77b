"""What is fuzzed: each verb, each file that it reads, and how often (docs/fuzz.md)."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random

from mcu_sdk import cli, resources
from mcu_sdk.console import set_quiet
from mcu_sdk.errors import McuSdkError
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.vela import LayerEstimate, VelaSummary
from mcu_sdk.planning.pte.program import read_program
from mcu_sdk.planning.pte.read import ETHOS_U, read_delegates
from mcu_sdk.project.committed import Answer, write_answers, write_baseline
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.testing import default_requests
from mcu_sdk.targets.protocol import Listener, Request
from mcu_sdk.targets.serial import Conversation, Pace, RefusedError
from mcu_sdk.targets.verdict import check_verdict
from tests.checkpoints import make_checkpoint
from tests.targets.firmware import Firmware
from tools.mutations import damaged, damaged_json, damaged_lines

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
TEXT = "the quick brown fox jumps over the lazy dog, and the dog thinks about it. " * 40

Arguments = list[str] | Callable[[], int]
Damage = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Seeds:
    """Valid inputs: pte/, board/, project/, tokenizer.json, checkpoint/, text.txt."""

    folder: Path

    def programs(self, delegates: bool | None = None) -> list[Path]:
        """The .pte files; only those with, or without, an NPU's part."""
        found = sorted((self.folder / "pte").glob("*.pte"))
        return [path for path in found if delegates is None or ("ethos-u" in path.name) == delegates]


@dataclass(frozen=True)
class Case:
    """`prepare` writes a damaged input below `work`/in and gives the command line. `weight` is how often it takes its
    turn. `makes`: what a success may leave in `work`; `may_change`: inputs that a refusal may have changed (a build
    folder). `quick`: takes milliseconds, with neither compiler nor
    CMake at hand; it is in the fast suite too."""

    verb: str
    file: str
    weight: int
    prepare: Callable[[Seeds, Path, Random], Arguments]
    makes: tuple[str, ...] = ()
    quick: bool = True
    may_change: bool = False


# ---- seeds


def make_seeds(folder: Path, *, with_checkpoint: bool = True) -> Seeds:
    """Write the valid inputs, unless they are there."""
    seeds = Seeds(folder)
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "pte").mkdir(parents=True)
        for path in FIXTURES.rglob("*.pte"):
            shutil.copy(path, folder / "pte")
            _write_sidecar(folder / "pte" / path.name)
        shutil.copytree(resources.boards(), folder / "boards")
        _write_tokenizer(folder / "tokenizer.json", 80)
        (folder / "text.txt").write_text(TEXT)
        for name, board in (("decoder-rows", "host"), ("ethos-u-mlp", "corstone-300")):
            command = ["generate", "--pte", str(folder / "pte" / f"{name}.pte"), "--board", board]
            tokenizer = ["--tokenizer", str(folder / "tokenizer.json")] if board == "host" else []
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                assert cli.run(["--quiet", *command, *tokenizer, "-o", str(folder / "projects" / board)]) == 0
            _write_committed(folder / "projects" / board)
        (folder / "complete").touch()
    if with_checkpoint and not (folder / "checkpoint").exists():
        made = make_checkpoint("llama-odd", folder)
        _write_tokenizer(made / "tokenizer.json", 257)
        settings = {"model_max_length": 64, "tokenizer_class": "PreTrainedTokenizerFast"}
        (made / "tokenizer_config.json").write_text(json.dumps(settings))
        (made / "special_tokens_map.json").write_text("{}")
        made.rename(folder / "checkpoint")
    return seeds


def _write_tokenizer(path: Path, size: int) -> None:
    """A byte-level BPE of `size` tokens, the last of them a merge. Few: some bytes have no token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.decoders import ByteLevel

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*letters[: size - 1], "he"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("h", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    tokenizer.save(str(path))


def _write_committed(folder: Path) -> None:
    """A project's tests/: what nobody has computed, but whole."""
    project = open_project(folder)
    request = replace(default_requests(project)[-1], seed=7)
    write_answers(project, [Answer(request, "00000000000000aa", (1, 2), "text")])
    write_baseline(project, {"flash_bytes": 1000, "answer_1_instructions_total": 20}, 1.0)


def _write_sidecar(path: Path) -> None:
    """NAME.names.json, and a delegate's files where there is one."""
    data = path.read_bytes()
    program = read_program(data)
    plan = next(p for p in program.execution_plan if p.name == "forward")
    delegates = read_delegates(program, plan)
    facts = {
        "npu_delegates": len(delegates),
        "npu_operators": 1,
        "cpu_operators": [{"operator": "aten.add", "reason": "float"}],
        "linears": 2,
    }
    names = [f"layer.{i}" for i in range(len(plan.chains[0].instructions))]
    content = {"instructions": names, "pte_sha256": sha256(data).hexdigest(), "facts": facts}
    path.with_suffix(".names.json").write_text(json.dumps(content, indent=1))
    layer = LayerEstimate("layer.0", "FullyConnected", "Conv2D", 100, 1000, 64)
    for number in range(len(delegates)):
        summary = VelaSummary("ethos-u55-128", "a", "b", True, 5e8, 100, 1000, 64, 0, 64, 32, 16, (layer,))
        name = f"{path.stem}.delegate_{number}"
        path.with_name(f"{name}.json").write_text(json.dumps(asdict(summary)))
        path.with_name(f"{name}.tosa").write_bytes(b"\x10\0\0\0TOSA" + bytes(64))


# ---- preparing one case


def _copy_program(seeds: Seeds, work: Path, draw: Random, delegates: bool | None = None) -> Path:
    """A .pte with what lies beside it."""
    path = draw.choice(seeds.programs(delegates))
    for beside in path.parent.glob(f"{path.stem}.*"):
        shutil.copy(beside, work / "in")
    return work / "in" / path.name


def _board_for(path: Path) -> str:
    return "corstone-300" if "ethos-u" in path.name else "host"


def _spoil(path: Path, damage: Damage, draw: Random) -> None:
    path.write_bytes(damage(path.read_bytes(), draw))


def generate_from(suffix: str, damage: Damage, delegates: bool | None = None) -> Callable[..., Arguments]:
    """`generate --pte` with the file of that suffix damaged."""

    def prepare(seeds: Seeds, work: Path, draw: Random) -> Arguments:
        path = _copy_program(seeds, work, draw, delegates)
        _spoil(path.with_name(path.stem + suffix), damage, draw)
        return ["generate", "--pte", str(path), "--board", _board_for(path), "-o", "out"]

    return prepare


def generate_tokenizer(seeds: Seeds, work: Path, draw: Random) -> Arguments:
    shutil.copy(seeds.folder / "pte" / "decoder-rows.pte", work / "in")
    shutil.copy(seeds.folder / "tokenizer.json", work / "in")
    _spoil(work / "in" / "tokenizer.json", damaged_json, draw)
    command = ["generate", "--pte", "in/decoder-rows.pte", "--board", "host", "-o", "out"]
    return [*command, "--tokenizer", "in/tokenizer.json"]


def _copy_board(seeds: Seeds, work: Path, draw: Random) -> str:
    board = draw.choice(sorted(path.parent for path in (seeds.folder / "boards").glob("*/board.toml")))
    shutil.copytree(board, work / "in" / board.name)
    _spoil(work / "in" / board.name / "board.toml", damaged_lines, draw)
    return f"in/{board.name}"


def generate_board(seeds: Seeds, work: Path, draw: Random) -> Arguments:
    board = _copy_board(seeds, work, draw)
    path = _copy_program(seeds, work, draw)
    return ["generate", "--pte", str(path), "--board", board, "-o", "out"]


def boards(seeds: Seeds, work: Path, draw: Random) -> Arguments:
    return ["boards", _copy_board(seeds, work, draw), *draw.choice(([], ["--json"]))]


def monitor(seeds: Seeds, work: Path, draw: Random) -> Arguments:
    return ["monitor", "--board", _copy_board(seeds, work, draw), "--port", "./no-port"]


def inspect(seeds: Seeds, work: Path, draw: Random) -> Arguments:
    path = _copy_program(seeds, work, draw)
    _spoil(path, damaged, draw)
    return ["inspect", str(path), *draw.choice(([], ["--json"]))]


def disassemble(part: str) -> Callable[..., Arguments]:
    """`npu disassemble` of a .pte, a delegate's blob, or a command block."""

    def prepare(seeds: Seeds, work: Path, draw: Random) -> Arguments:
        path = _copy_program(seeds, work, draw, delegates=True)
        data = path.read_bytes()
        if part != ".pte":
            program = read_program(data)
            (delegate,) = [
                d for plan in program.execution_plan for d in read_delegates(program, plan) if d.id == ETHOS_U
            ]
            data = data[delegate.offset : delegate.offset + delegate.size]
        path.write_bytes(damaged(read_blob(data).commands if part == "commands" else data, draw))
        return ["npu", "disassemble", str(path), *draw.choice(([], ["--json"]))]

    return prepare


def of_project(verb: str, file: str, damage: Damage, *more: str) -> Callable[..., Arguments]:
    """A verb on a generated project, one file of it damaged."""

    def prepare(seeds: Seeds, work: Path, draw: Random) -> Arguments:
        projects = sorted(path for path in (seeds.folder / "projects").iterdir() if (path / file).is_file())
        shutil.copytree(draw.choice(projects), work / "project")
        _spoil(work / "project" / file, damage, draw)
        return [verb, "project", *more]

    return prepare


def npu_details(seeds: Seeds, work: Path, draw: Random) -> Arguments:
    """What `build` shows of an NPU when it has built."""
    shutil.copytree(seeds.folder / "projects" / "corstone-300", work / "project")
    _spoil(work / "project" / "model" / "npu.json", damaged_json, draw)

    def run() -> int:
        details = open_project(Path("project")).npu_details()
        if details is not None:
            print(details.rows(), details.to_json(), details.to_markdown(), details.slowest_layers())
        return 0

    return run


def of_checkpoint(file: str, damage: Damage, verb: str = "generate") -> Callable[..., Arguments]:
    def prepare(seeds: Seeds, work: Path, draw: Random) -> Arguments:
        shutil.copytree(seeds.folder / "checkpoint", work / "in" / "model")
        _spoil(work / "in" / "model" / file, damage, draw)
        if verb == "evaluate":
            shutil.copy(seeds.folder / "text.txt", work / "in")
            return ["evaluate", "in/text.txt", "--model", "in/model", "--max-cache-len", "8"]
        return ["generate", "--model", "in/model", "--board", "host", "--max-cache-len", "8", "-o", "out"]

    return prepare


def of_text(verb: str) -> Callable[..., Arguments]:
    def prepare(seeds: Seeds, work: Path, draw: Random) -> Arguments:
        shutil.copy(seeds.folder / "text.txt", work / "in")
        _spoil(work / "in" / "text.txt", damaged, draw)
        model = ["--model", str(seeds.folder / "checkpoint"), "--max-cache-len", "8"]
        if verb == "evaluate":
            return ["evaluate", "in/text.txt", *model]
        return ["generate", "--calibration-text", "in/text.txt", *model, "--board", "host", "-o", "out"]

    return prepare


# ---- bytes of a serial line


class Line:
    """A port whose other end says a scripted answer to each line, damaged. Time goes by when nothing comes."""

    def __init__(self, draw: Random) -> None:
        self.now = 0.0
        self._draw = draw
        self._waiting = bytearray()
        self._firmware = Firmware(self._waiting.extend)
        self._rate = draw.choice((0.0, 0.2, 0.5, 1.0))

    @property
    def in_waiting(self) -> int:
        return len(self._waiting)

    def read(self, size: int = 1, /) -> bytes:
        if not self._waiting:
            self.now += 0.1
        piece = bytes(self._waiting[: self._draw.choice((1, 7, size))])
        del self._waiting[: len(piece)]
        return piece

    def write(self, data: bytes, /) -> int:
        kept = bytes(self._waiting)
        self._waiting.clear()
        for line in data.replace(b"\x15", b"").splitlines():
            if line == b"@ping":
                self._waiting += b"\n@mcu ready=1\n"
            elif self._firmware.start(line):
                self._firmware.write(b"Once\n@mcu prompt_ids=1,2\n@mcu ids=3\n@mcu digest=00000000000000aa\n")
                self._firmware.write(b"@mcu model=ab\n@mcu arena=1 kv_cache=2 stack_used=3\n")
                self._firmware.end(self._draw.choice((b"ok", b"error reason=bus_fault pc=00000010")))
        said = bytes(self._waiting)
        self._waiting[:] = kept + (damaged(said, self._draw) if self._draw.random() < self._rate else said)
        return len(data)


def serial_line(seeds: Seeds, work: Path, draw: Random) -> Arguments:
    """What `run --port` does between opening the port and the report: no answer but the right one, or an error."""

    def run() -> int:
        set_quiet(True)
        line, listener = Line(draw), Listener(77)
        request = Request(ids=(1, 2), tokens=1)
        talk = Conversation(line, request.encode(77), listener, "the board", Pace(), clock=lambda: line.now)
        try:
            talk.hold(600)
            found = check_verdict(listener.transcript(), "the board")
        except RefusedError:
            print("error: refused", file=sys.stderr)
            return 7
        except McuSdkError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        assert (found.text, found.digest, found.ids) == ("Once", "00000000000000aa", (3,)), found
        return 0

    return run


def _words(data: bytes, draw: Random) -> bytes:
    return damaged_lines(data, draw)


CASES: tuple[Case, ...] = (
    Case("generate", "model.pte", 110, generate_from(".pte", damaged), ("out",)),
    Case("generate", "NAME.names.json", 30, generate_from(".names.json", damaged_json), ("out",)),
    Case("generate", "NAME.delegate_0.json", 15, generate_from(".delegate_0.json", damaged_json, True), ("out",)),
    Case("generate", "NAME.delegate_0.tosa", 5, generate_from(".delegate_0.tosa", damaged, True), ("out",)),
    Case("generate", "tokenizer.json", 40, generate_tokenizer, ("out",)),
    Case("generate", "board.toml", 50, generate_board, ("out",)),
    Case("generate", "model.pte, then compiled", 3, generate_from(".pte", damaged), ("out",), quick=False),
    Case("generate", "board.toml, then compiled", 3, generate_board, ("out",), quick=False),
    Case("generate", "config.json", 4, of_checkpoint("config.json", damaged_json), ("out",), quick=False),
    Case("generate", "generation_config.json", 1, of_checkpoint("generation_config.json", damaged_json), ("out",), quick=False),
    Case("generate", "tokenizer.json of a checkpoint", 2, of_checkpoint("tokenizer.json", damaged_json), ("out",), quick=False),
    Case("generate", "tokenizer_config.json", 1, of_checkpoint("tokenizer_config.json", damaged_json), ("out",), quick=False),
    Case("generate", "model.safetensors", 3, of_checkpoint("model.safetensors", damaged), ("out",), quick=False),
    Case("generate", "calibration text", 1, of_text("generate"), ("out",), quick=False),
    Case("evaluate", "text", 1, of_text("evaluate"), quick=False),
    Case("evaluate", "config.json", 1, of_checkpoint("config.json", damaged_json, "evaluate"), quick=False),
    Case("regenerate", "mcu-sdk.json", 30, of_project("regenerate", "mcu-sdk.json", damaged_json), ("project",)),
    Case("regenerate", "model/model.pte", 20, of_project("regenerate", "model/model.pte", damaged), ("project",)),
    Case("regenerate", "model/names.json", 8, of_project("regenerate", "model/names.json", damaged_json), ("project",)),
    Case("regenerate", "model/report.json", 4, of_project("regenerate", "model/report.json", damaged_json), ("project",)),
    Case("regenerate", "model/npu.json", 4, of_project("regenerate", "model/npu.json", damaged_json), ("project",)),
    Case("inspect", "model.pte", 60, inspect),
    Case("npu", "model.pte", 15, disassemble(".pte")),
    Case("npu", "blob", 20, disassemble("blob")),
    Case("npu", "commands", 20, disassemble("commands")),
    Case("boards", "board.toml", 40, boards),
    Case("build", "mcu-sdk.json", 8, of_project("build", "mcu-sdk.json", damaged_json), may_change=True),
    Case("build", "model/model.h", 8, of_project("build", "model/model.h", _words), may_change=True),
    Case("build", "model/npu.json", 8, npu_details),
    Case("compare", "mcu-sdk.json", 4, of_project("compare", "mcu-sdk.json", damaged_json, "project"), may_change=True, quick=False),
    Case("flash", "mcu-sdk.json", 8, of_project("flash", "mcu-sdk.json", damaged_json, "--runner", "gdb", "--dry-run", "--no-build"), may_change=True),
    Case("monitor", "board.toml", 8, monitor),
    Case("run", "mcu-sdk.json", 8, of_project("run", "mcu-sdk.json", damaged_json), may_change=True),
    Case("run", "model/model.h", 8, of_project("run", "model/model.h", _words, "--ids", "1"), may_change=True),
    Case("run", "serial bytes", 40, serial_line),
    Case("verify", "mcu-sdk.json", 8, of_project("verify", "mcu-sdk.json", damaged_json), may_change=True),
    Case("verify", "model/model.h", 8, of_project("verify", "model/model.h", _words), may_change=True),
    Case("test", "tests/answers.json", 8, of_project("test", "tests/answers.json", damaged_json), may_change=True),
    Case("test", "tests/baseline.json", 8, of_project("test", "tests/baseline.json", damaged_json), may_change=True),
)  # fmt: skip
"""In this order in docs/fuzz.md; weights are cases in about 600."""
