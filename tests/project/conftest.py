"""A hand-made plan: two operations of a made-up language model, for tests of what surrounds a plan."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.model.chat.compile import compile_chat
from mcu_sdk.model.chat.files import CHAT_CONFIG, ChatFiles
from mcu_sdk.model.chat.rendering import Template
from mcu_sdk.model.tokenizer import compile_tokenizer, load_tokenizer
from mcu_sdk.planning.fit import Sizes, check_fit
from mcu_sdk.planning.language_model import LanguageModel
from mcu_sdk.project.build import build
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from tests.model.chat.templates import CHATML, chat_tokenizer
from tests.project import noise_plan
from tests.project import talker as talking
from tests.project.talker import Talker

VOCAB = 16
LENGTH = 12
PTE = b"head" * 4 + struct.pack(f"<{VOCAB}f", *(0.25 * i - 1.0 for i in range(VOCAB)))

# Sums what it has read into the cache, and makes logits of it. The divisions and the subnormal factor are there so
# that rounding and flushing to zero show in the bits.
_KERNEL = """[](const int64_t* id, const int64_t* position, float* state, const float* weights, float* logits) {
        state[0] += static_cast<float>(*id + 1) / static_cast<float>(*position + 3);
        const volatile float tiny = 0x1p-140f;
        for (int32_t i = 0; i < 16; ++i) {
            logits[i] = weights[(i + static_cast<int32_t>(*id) * 5) % 16] * state[0] / 3.0f + tiny * 0x1p120f;
        }
    }"""


@dataclass(frozen=True)
class TinyPlan:
    """What render.py asks of a plan."""

    sources: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def to_template(self) -> dict[str, Any]:
        def tensor(offset: int, type: str, c_type: str, shape: list[int], size: int) -> dict[str, Any]:
            elements = 1
            for dimension in shape:
                elements *= dimension
            pointer = f"arena<{c_type}>({offset})"
            return {"pointer": pointer, "type": type, "c_type": c_type, "shape": shape, "elements": elements,
                    "bytes": elements * size, "space": "arena", "offset": offset}  # fmt: skip

        logits = tensor(64, "f32", "float", [1, 1, VOCAB], 4)
        ids = tensor(0, "s64", "int64_t", [1, 1], 8)
        position = tensor(16, "s64", "int64_t", [1], 8)
        arguments = ["arena<int64_t>(0)", "arena<int64_t>(16)", "kv_cache<float>(0)", "weights<float>(16)",
                     "arena<float>(64)"]  # fmt: skip
        return {
            "model_hash": sha256(PTE).hexdigest(),
            "model_bytes": len(PTE),
            "arena_bytes": 64 + 4 * VOCAB,
            "kv_cache_bytes": 16,
            "scratch_offset": 64 + 4 * VOCAB,
            "scratch_bytes": 0,
            "headers": list(self.headers),
            "sources": list(self.sources),
            "tables": [{"name": "kTable0", "c_type": "int32_t", "values": [str(i) for i in range(99)]}],
            "inputs": [ids, position],
            "outputs": [logits],
            "calls": [
                {"function": "static_cast<void>", "arguments": ["kTable0[1]"], "name": "#0", "comment": "a table",
                 "index": 0, "operator": "none"},
                {"function": _KERNEL, "arguments": arguments, "name": "layers.0", "comment": "made-up(f32[16])",
                 "index": 1, "operator": "none"},
            ],
            **self.extra,
        }  # fmt: skip


def make_inputs(board: Board | str = "corstone-300", **changes: Any) -> ProjectInputs:
    """Inputs of `render_project` for the tiny plan."""
    board = load_board(board) if isinstance(board, str) else board
    plan = changes.pop("plan", TinyPlan())
    numbers = plan.to_template()
    sizes = Sizes(arena=numbers["arena_bytes"], kv_cache=numbers["kv_cache_bytes"], weights=len(PTE))
    layout = check_fit(board, sizes)
    settings: dict[str, Any] = {
        "name": "tiny",
        "language_model": LanguageModel(VOCAB, LENGTH, bos_id=1, eos_ids=(15,)),
        "options": {"max_cache_len": LENGTH},
    } | changes
    return ProjectInputs(board=board, layout=layout, plan=plan, pte=PTE, **settings)


@pytest.fixture(scope="session")
def tiny_inputs() -> Callable[..., ProjectInputs]:
    """`tiny_inputs(board, plan=..., name=...)` makes the inputs of `render_project`."""
    return make_inputs


@pytest.fixture(scope="session")
def tiny_plan() -> type[TinyPlan]:
    return TinyPlan


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a project for corstone-300, built in release, host and host-debug."""
    project = render_project(make_inputs(), tmp_path_factory.mktemp("tiny") / "project")
    for preset in ("release", "host", "host-debug"):
        build(project, preset)
    return project


def run_host(program: Path, text: bytes) -> bytes:
    """What a host program answers to `text` on its console."""
    return subprocess.run([program], input=text, stdout=subprocess.PIPE, timeout=20, check=True).stdout


def run_qemu(elf: Path, text: bytes, board: str = "corstone-300") -> tuple[int, bytes]:
    """Exit code and console of a board in QEMU, fed with `text`, which ends with EOT."""
    simulator = load_board(board).simulator["qemu"]
    command = [part.replace("{elf}", str(elf)) for part in simulator.command]
    finished = subprocess.run(command, input=text, stdout=subprocess.PIPE, timeout=60, check=False)
    return finished.returncode, finished.stdout


@pytest.fixture(scope="session")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Talker:
    return make_talker(tmp_path_factory.mktemp("talker"))


def make_talker(
    folder: Path,
    source: str = CHATML,
    rewind_length: int = talking.LENGTH,
    unlikely: tuple[int, int] = (0, 0),
    sinks: int = -1,
) -> Talker:
    """A model that holds conversations by a chat template, built for the host. `unlikely`: ids that it does not say; `sinks`:
    of a cache that slides."""
    path = chat_tokenizer(folder / "tokenizer.json", noise_plan.VOCAB)
    compiled, tokenizer, template = compile_tokenizer(path), load_tokenizer(path), Template(source, {}, "x")
    assert compiled.supported and tokenizer is not None, compiled.reason
    chat = compile_chat(template, tokenizer)
    files = {"tokenizer.json": path.read_bytes(), CHAT_CONFIG: ChatFiles(chat, template).config}
    inputs = make_inputs(
        plan=talking.talker_plan(TinyPlan(), unlikely),
        language_model=LanguageModel(
            noise_plan.VOCAB,
            talking.LENGTH,
            bos_id=1,
            eos_ids=(talking.END,),
            rewind_length=rewind_length,
            sinks=sinks,
        ),
        tokenizer=compiled.to_template(),
        chat=chat.to_template(),
        files=files,
    )
    project = render_project(inputs, folder / "p")
    build(project, "host")
    return Talker(inputs, project, chat, tokenizer)


@pytest.fixture(scope="session")
def on_host() -> Callable[[Path, bytes], bytes]:
    return run_host


@pytest.fixture(scope="session")
def on_qemu() -> Callable[..., tuple[int, bytes]]:
    """`on_qemu(elf, text, board)`"""
    return run_qemu
