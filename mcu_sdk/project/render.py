"""Writing the C++ project: templates, the sources that the plan needs, the model.

The project is written beside its destination and renamed when complete, so that a failure leaves nothing half done.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from mcu_sdk import resources
from mcu_sdk.board.board import Board
from mcu_sdk.board.memory import stored_in
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.errors import BoardError
from mcu_sdk.folders import made
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.kernel_files import closure, includes
from mcu_sdk.planning.language_model import LanguageModel
from mcu_sdk.planning.pieces import Piece
from mcu_sdk.planning.text_model import TextModel
from mcu_sdk.project import ci, flags, manifest
from mcu_sdk.project.compile_flags import definitions
from mcu_sdk.project.debugging import debug_servers
from mcu_sdk.project.destination import check_destination
from mcu_sdk.project.edited import KEPT, check_edited, hashes
from mcu_sdk.project.executorch import Executorch, library_files
from mcu_sdk.project.library import MAIN, SECTIONS, SYMBOLS, Format, Library, Source
from mcu_sdk.project.presets import Optimize, presets
from mcu_sdk.project.replace import replace_generated
from mcu_sdk.project.templates import environment
from mcu_sdk.targets.runner import runner

MODEL_FILE = "model/model.pte"

DRIVER_FILES = {
    "failed": "ethos_u_failed",
    "mmio": "register_access_mmio",
    "semihosting": "register_access_semihosting",
    "pipe": "register_access_pipe",
    "callback": "register_access_callback",
}
"""What of the NPU's driver depends on where it runs."""

SELF_TEST_TEMPLATE = "tests/self_test.inc.j2"
"""Filled in by self_test.py, where it is asked for."""
_SELF_TEST = "runtime/self_test.cpp"
_TOKENIZER_TEMPLATE = "model/tokenizer.cpp.j2"
_GRAMMAR_TEMPLATE = "model/grammar.cpp.j2"
_CHAT_TEMPLATE = "model/chat.cpp.j2"
_NO_TOKENIZER = {
    "present": False,
    "reason": "the model came without one",
    "normalize": [],
    "sources": ["runtime/tokenizer/encode.cpp", "runtime/tokenizer/unicode.cpp"],
}
_PLAN_TEMPLATE = "model/plan.cpp.j2"
_EXECUTORCH_TEMPLATES = {
    "executorch/model/program.cpp.j2": "model/program.cpp",
    "executorch/cmake/executorch.cmake.j2": "cmake/executorch.cmake",
    "executorch/operators/operators.h.j2": "model/operators.h",
    "executorch/operators/operators.cpp.j2": "model/operators.cpp",
}
"""Where in a project that ExecuTorch's runtime runs; the other templates of that folder are operator_library.py's."""
_BOARD_TEMPLATES = ("cmake/board.cmake.j2", "cmake/board.ld.j2", "cmake/arm-none-eabi.cmake.j2")


_FLOAT_MODE = "platform/float_mode.h"
"""Included by a library's api.cpp."""


class RenderablePlan(Protocol):
    """What is used of `mcu_sdk.planning.plan.Plan`."""

    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def headers(self) -> tuple[str, ...]: ...
    def to_template(self, pieces: Sequence[Piece] = ...) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ProjectInputs:
    """Everything a project is made from.

    `name` is the model's name as the user knows it; only a cleaned form of it reaches paths and code. `tokenizer`
    is `DeviceTokenizer.to_template()`; None stands for no tokenizer; of a model that reads texts, `text_model` says how. `files` are more files for model/ ("names.json").
    `grammar` is mcu_sdk.model.grammar's `tables()`, of a language model whose answers follow one; `chat` is
    mcu_sdk.model.chat's `Chat.to_template()`, of one that holds conversations. `stops`: texts that end an answer.
    `options` and `inputs` go into the manifest; `places`, where the inputs lie, beside it. `npu`: what delegates were compiled for; `shared_layout`: the layout for a run in
    QEMU, which shares one region with the simulated NPU. `optimize` is what the release build's kernels are
    compiled for; the rest is outside of the steps and always compiled for size.
    With `profile` the firmware counts the instructions of each call of the plan. `executorch`: of a model that ExecuTorch's
    own runtime runs, in the place of its plan. `format`: what the model becomes, and
    `library_stack` the bytes of stack that a call of a library needs.
    """

    name: str
    board: Board
    layout: Layout
    plan: RenderablePlan
    pte: bytes
    npu: NpuTarget | None = None
    shared_layout: Layout | None = None
    language_model: LanguageModel | None = None
    text_model: TextModel | None = None
    tokenizer: Mapping[str, Any] | None = None
    grammar: Mapping[str, Any] | None = None
    chat: Mapping[str, Any] | None = None
    stops: tuple[bytes, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    options: Mapping[str, manifest.Option] = field(default_factory=dict)
    inputs: Mapping[str, manifest.Input] = field(default_factory=dict)
    places: Mapping[str, Path] = field(default_factory=dict)
    profile: bool = False
    optimize: Optimize = "speed"
    format: Format = "firmware"
    library_stack: int | None = None
    executorch: Executorch | None = None

    @property
    def library(self) -> Library | None:
        """What the model is called as a library; None for a firmware."""
        if self.format == "firmware":
            return None
        tokens, tables = self.language_model is not None, self.tokenizer or {"present": False}
        return Library.of(
            slug(self.name),
            self.optimize,
            is_language_model=tokens,
            has_tokenizer=tokens and tables["present"],
            has_grammar=self.grammar is not None,
            reads_texts=self.text_model is not None,
            source=self._source(),
        )

    def _source(self) -> Source | None:
        side = self.language_model.encoder if self.language_model is not None else None
        return None if side is None else "tensors" if side.tensors else "tokens"


def render_project(inputs: ProjectInputs, destination: Path, *, force: bool = False) -> Path:
    """Write the project to `destination` and return it.

    An existing project is regenerated: app/ and files of the user stay, generated files whose content is the same
    keep their times (a build then does nothing). Raises UsageError if `destination` is anything else than a project,
    an empty folder or nothing, and for generated files that were changed, unless `force` (edited.py).
    """
    destination = Path(os.path.abspath(destination))
    exists = check_destination(destination)
    check_edited(destination, force=force)
    with (
        made(destination.parent),
        tempfile.TemporaryDirectory(prefix=f".{destination.name[:64]}.", dir=destination.parent) as folder,
    ):
        staging = Path(folder) / "project"
        write_files(inputs, staging)
        if exists:
            replace_generated(staging, destination, Path(folder) / "old")
        else:
            os.rename(staging, destination)
    return destination


def slug(name: str) -> str:
    """A name for paths and identifiers: a-z, 0-9 and single hyphens, 1 to 48 characters."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    return cleaned if re.match(r"[a-z]", cleaned) else f"model-{cleaned}".strip("-")


def title(name: str) -> str:
    """A name for comments, prose and the console: printable ASCII without anything that C, CMake or Markdown read."""
    return re.sub(r"[^A-Za-z0-9 .,_+()-]", "_", name)[:80].strip() or "model"


# ---- what the templates see


def _context(inputs: ProjectInputs) -> dict[str, Any]:
    board = inputs.board
    pieces = inputs.layout.pieces
    plan = inputs.plan.to_template(pieces) if pieces else inputs.plan.to_template()
    language_model, library = inputs.language_model, inputs.library
    official = inputs.executorch
    if official is not None:
        plan = {**plan, "arena_bytes": official.arena_bytes}
    return {
        "executorch": official.to_template(plan) if official is not None else None,
        "wrappers": official.wrappers if official is not None else (),
        "headers": official.headers if official is not None else [],
        "plan_file": "model/plan.cpp" if official is None else "model/program.cpp",
        "library": library.to_template([*inputs.plan.sources, *inputs.plan.headers], inputs.library_stack)
        if library
        else None,
        "namespace": f"{library.prefix}::plan" if library else "model",
        "sections": library.sections if library else SECTIONS,
        "project": {
            "slug": slug(inputs.name),
            "title": title(inputs.name),
            "summary": f"Firmware for {board.name} ({title(board.description)}), generated by mcu-sdk.",
        },
        "board": _board_context(board, inputs.npu.accelerator if inputs.npu else None),
        "regions": list(board.region),
        **_placement(board, inputs.layout),
        "reserved": [words for words in board.reserved if words.contents],
        "boot_header": _boot_header(board),
        "npu": _npu_context(inputs),
        "plan": plan,
        "memories": [
            {
                "name": "arena",
                "bytes": plan["arena_bytes"],
                "comment": f"Activations; from {plan['scratch_offset']} on, scratch for the call that runs.",
            },
            {
                "name": "kv_cache",
                "bytes": plan["kv_cache_bytes"],
                "comment": "What is kept from step to step.",
            },
        ],
        "model": {
            "hash": sha256(inputs.pte).hexdigest(),
            "bytes": len(inputs.pte),
            "is_language_model": language_model is not None,
            "vocab_size": _vocabulary_and_length(inputs)[0],
            "max_sequence_length": _vocabulary_and_length(inputs)[1],
            "prefill_rows": language_model.prefill_rows if language_model else 0,
            "rewind_length": language_model.rewind_length if language_model else 0,
            "sinks": language_model.sinks if language_model else -1,
            "max_text_tokens": language_model.max_text_tokens if language_model else 0,
            "bos_id": language_model.bos_id if language_model else -1,
            "eos_ids": list(language_model.eos_ids) if language_model else [],
            "suppressed": list(language_model.suppressed) if language_model else [],
            "first_suppressed": list(language_model.first_suppressed) if language_model else [],
        },
        "sources": source_lists(inputs),
        "presets": presets(board, inputs.optimize, simulated_npu=inputs.shared_layout is not None),
        "debug_servers": debug_servers(board, inputs.npu.accelerator if inputs.npu else None),
        "profile": inputs.profile,
        "flags": flags,
        **ci.context(board, inputs.inputs),
        "tokenizer": _tokenizer(inputs),
        "grammar": inputs.grammar,
        "chat": inputs.chat,
        "stops": [str(byte) for text in inputs.stops for byte in (len(text), *text)],
        "texts": _texts(inputs),
        "encoder": _encoder(inputs),
    }


def _vocabulary_and_length(inputs: ProjectInputs) -> tuple[int, int]:
    """Of a model that knows token ids: how many, and how many it reads; 0 and 0 of another."""
    if inputs.language_model is not None:
        return inputs.language_model.vocab_size, inputs.language_model.max_sequence_length
    if inputs.text_model is not None:
        return inputs.text_model.vocab_size, inputs.text_model.length
    return 0, 0


def _encoder(inputs: ProjectInputs) -> dict[str, Any] | None:
    """What a language model's encoder reads, and what its answers begin behind; None for one without."""
    side = inputs.language_model.encoder if inputs.language_model is not None else None
    if side is None:
        return None
    return {**asdict(side), "start_ids": list(side.start_ids)}


def _texts(inputs: ProjectInputs) -> dict[str, Any] | None:
    """How a text fills the model's inputs, and what a classifier's scores are called; None for a model that reads none."""
    texts = inputs.text_model
    if texts is None or inputs.tokenizer is None:
        return None
    named = {"ids": texts.ids, "mask": texts.mask, "types": texts.types, "pad_id": texts.pad_id}
    labels = ["".join(c if c.isprintable() else " " for c in name) for name in texts.labels]
    named |= {"labels_output": texts.labels_output, "bytes": inputs.tokenizer["text_bytes"]}
    return {**named, "labels": labels}


def _has_tables(inputs: ProjectInputs) -> bool:
    """Whether there is a model/tokenizer.cpp: a language model's may say that there is no tokenizer."""
    return inputs.language_model is not None or inputs.tokenizer is not None


def _tokenizer(inputs: ProjectInputs) -> Mapping[str, Any]:
    return inputs.tokenizer or _NO_TOKENIZER


def _placement(board: Board, layout: Layout) -> dict[str, Any]:
    """The region of each section; the pieces of the weights, if they are divided; where the image keeps what may be
    copied; and the sections that start-up copies (None: this board's start-up looks for none)."""
    regions, pieces = layout.regions, layout.pieces
    if not regions:
        return {"placement": regions, "pieces": [], "stored": {}, "copies": None}
    lots = {"tokenizer": regions["tokenizer"]}
    lots |= {f"weights_{piece.region}": piece.region for piece in pieces} or {"weights": regions["weights"]}
    stored = {name: stored_in(board.regions, regions["code"], region) for name, region in lots.items()}
    copies = [f".{name}" for name, region in lots.items() if stored[name] != region]
    return {
        "placement": regions,
        "pieces": [piece.to_template() for piece in pieces],
        "stored": stored,
        "copies": copies if board.copies_at_start else None,
    }


def _boot_header(board: Board) -> str:
    """The region for the board's boot header; where the regions are others than the board's (a trial), the first one."""
    name = board.placement.boot_header if board.placement is not None else ""
    return name if not name or name in board.regions else board.region[0].name


def _npu_context(inputs: ProjectInputs) -> dict[str, Any] | None:
    """What CMake has to know of the NPU; None for a project without."""
    if inputs.npu is None:
        return None
    return {
        "accelerator": inputs.npu.accelerator,
        "simulated": inputs.shared_layout is not None,
        "sources": {name: f"sdk/drivers/ethos_u/{file}.cpp" for name, file in DRIVER_FILES.items()},
    }


def _board_context(board: Board, target: str | None) -> dict[str, Any]:
    commands = [
        {
            "title": runner(name).title,
            "line": _shell(board.simulator_command(name, target)),
            "untested": run.untested,
        }
        for name, run in board.simulator.items()
    ]
    if board.flash is not None:
        commands.append({"title": "On the board", "line": "mcu-sdk flash .", "untested": False})
    return {
        "name": board.name,
        "description": title(board.description),
        "is_host": board.is_host,
        "core": board.core,
        "tools": board.tools,
        "link_flags": board.tools.link_flags(board.core.flags),
        "stack_bytes": board.stack_bytes,
        "definitions": definitions(board, target),
        "commands": commands,
    }


def _shell(command: Sequence[str]) -> str:
    text = shlex.join(part.replace("{elf}", "build/release/firmware.elf") for part in command)
    return text.replace("'", "") if "{input}" in text else text


# ---- sources


def source_lists(inputs: ProjectInputs) -> dict[str, list[str]]:
    """The .cpp files of the project by part, as CMake names them."""
    official = inputs.executorch
    if official is None:
        model = [f"sdk/{source}" for source in sorted(inputs.plan.sources)]
    else:
        model = ["model/operators.cpp", "sdk/executor/method.cpp"]
        model += [f"sdk/{source}" for source in sorted(official.sources)]
    runtime = ["answer", "console", "crc", "print", "request"]
    if inputs.language_model is not None:
        runtime += ["chooser", "language_model", "sampler", "stop"]
    else:
        runtime += ["tensor_model", "tensor_series", "tensor_transfer"]
    if inputs.language_model is not None and inputs.language_model.encoder is not None:
        model += ["sdk/runtime/encoder.cpp"]
        runtime += ["tensor_transfer"] if inputs.language_model.encoder.tensors else []
    if inputs.text_model is not None:
        runtime += ["text_model"]
        model += ["sdk/runtime/text_inputs.cpp"]
    if _has_tables(inputs):
        model += ["model/tokenizer.cpp", *(f"sdk/{source}" for source in _tokenizer(inputs)["sources"])]
    if inputs.grammar is not None:
        model += ["model/grammar.cpp", "sdk/runtime/grammar.cpp"]
    if inputs.chat is not None:
        model += ["model/chat.cpp"]
        runtime += ["chat"]
    if inputs.profile:
        runtime += ["profile"]
    if inputs.library is not None and inputs.language_model is not None:
        runtime.remove("sampler")
        model.append("sdk/runtime/sampler.cpp")
    return {
        "model": model,
        "runtime": [
            *(f"sdk/runtime/{name}.cpp" for name in sorted(runtime)),
            *(["sdk/executor/failed.cpp"] if official is not None else []),
        ],
        "library": ["sdk/executor/failed_library.cpp", "sdk/runtime/crc.cpp"] if official is not None else [],
        "platform": [
            *(f"sdk/platform/{name}" for name in _platform(inputs.board, inputs.optimize)),
            *(["sdk/executor/no_heap.cpp"] if official is not None and not inputs.board.is_host else []),
        ],
        "host": [f"sdk/platform/host/{name}.cpp" for name in ("platform", "build_id", "library")],
    }


def _platform(board: Board, optimize: Optimize) -> list[str]:
    """Sources in sdk/platform/; what comes from the board's own folder lies there directly."""
    if board.uart is None:
        return []
    counter = ["counter_none"]
    if board.counter is not None:
        counter = [*(["counter_ticks"] if board.counter.is_clock else []), f"counter_{board.counter.driver}"]
    names = ["startup", "platform", "memory", "build_id", f"uart_{board.uart.driver}", *counter]
    if optimize == "size":
        names.append("small_library")
    own = [name for name in board.sources if name.endswith(".cpp")]
    return [f"cortex_m/{name}.cpp" for name in names if f"{name}.cpp" not in own] + sorted(own)


def needed_files(sources: Iterable[str]) -> list[str]:
    """`sources` and all that they need of firmware/, as `closure` finds it.

    Raises BoardError for a source that does not exist, which can only be a driver that a board.toml names.
    """
    try:
        return closure(sources)
    except FileNotFoundError as error:
        missing = os.path.relpath(error.filename, resources.firmware())
        raise BoardError(
            f"firmware/{missing} does not exist.", hint="Check the drivers that the board.toml names."
        ) from error


# ---- writing


def write_files(inputs: ProjectInputs, folder: Path) -> None:
    """The whole project, into a folder that does not exist yet."""
    context = _context(inputs)
    templates = environment()
    for name in sorted(templates.list_templates(filter_func=lambda name: name.endswith(".j2"))):
        if name == SELF_TEST_TEMPLATE:
            continue
        left_out = inputs.profile or inputs.executorch is not None  # which no runner of theirs has
        if name in ci.TEMPLATES and (left_out or (name == ci.FVP_TEMPLATE and not context["has_fvp"])):
            continue
        place = _path_of(name, inputs)
        if place is not None:
            _write(folder / place, templates.get_template(name).render(context).encode("utf-8"))
    if inputs.shared_layout is not None and not inputs.board.is_host:
        shared = {**context, **_placement(inputs.board, inputs.shared_layout)}
        text = templates.get_template("cmake/board.ld.j2").render(shared)
        _write(folder / "cmake" / "board-qemu.ld", text.encode("utf-8"))

    lists = context["sources"]
    wanted = [
        name.removeprefix("sdk/") for part in lists.values() for name in part if name.startswith("sdk/")
    ]
    if context["npu"] is not None:
        unused = {"mmio", "semihosting"} if inputs.board.is_host else set()
        sources = context["npu"]["sources"]
        wanted += [path.removeprefix("sdk/") for key, path in sources.items() if key not in unused]
    firmware = resources.firmware()
    if inputs.library is not None:
        wanted.append(_FLOAT_MODE)
    own = {f"platform/{name}": path for name, path in inputs.board.sources.items()}
    included = [name for path in own.values() for name in includes(path) if (firmware / name).is_file()]
    wanted.append(_SELF_TEST)  # compiled only where it is asked for
    headers = inputs.plan.headers if inputs.executorch is None else library_files(inputs.executorch.wrappers)
    for name in needed_files([*(n for n in wanted if n not in own), *included, *headers]):
        _write(folder / "sdk" / name, (firmware / name).read_bytes())
    for name, path in own.items():
        _write(folder / "sdk" / name, path.read_bytes())

    _write(folder / MODEL_FILE, inputs.pte)
    for name, data in inputs.files.items():
        _write(folder / "model" / name, data)
    _write(folder / manifest.FILE, _manifest(inputs, hashes(folder)).encode())
    if inputs.places:
        _write(folder / manifest.PLACES, manifest.places_json(inputs.places).encode())


def _path_of(template: str, inputs: ProjectInputs) -> str | None:
    """Where in the project a template goes; None if this project has none of it."""
    name, library = template.removesuffix(".j2"), inputs.library
    if name.startswith("executorch/"):
        return _EXECUTORCH_TEMPLATES.get(template) if inputs.executorch is not None else None
    if template == _PLAN_TEMPLATE and inputs.executorch is not None:
        return None
    if template == _TOKENIZER_TEMPLATE and not _has_tables(inputs):
        return None
    if template == _GRAMMAR_TEMPLATE and inputs.grammar is None:
        return None
    if template == _CHAT_TEMPLATE and inputs.chat is None:
        return None
    if template in _BOARD_TEMPLATES and inputs.board.is_host:
        return None
    if library is None:
        return None if name.startswith("library/") else name
    places = {
        "library/CMakeLists.txt": "CMakeLists.txt",
        "library/README.md": "README.md",
        "library/api.cpp": "model/api.cpp",
        "library/harness.cmake": "cmake/harness.cmake",
        "library/header.h": f"include/{library.prefix}.h",
        "library/symbols.h": SYMBOLS,
        "app/main.cpp": MAIN,
    }
    replaced = ("CMakeLists.txt", "README.md", f"{KEPT}/")
    return places.get(name) or (None if name.startswith(replaced) else name)


def _manifest(inputs: ProjectInputs, files: dict[str, str]) -> str:
    language_model, tokenizer = inputs.language_model, inputs.files.get(manifest.TOKENIZER)
    side = language_model.encoder if language_model is not None else None
    facts = manifest.ModelFacts(
        sha256=manifest.digest(inputs.pte),
        is_language_model=language_model is not None,
        tokenizer=manifest.digest(tokenizer) if tokenizer is not None else "",
        vocab_size=_vocabulary_and_length(inputs)[0],
        max_sequence_length=_vocabulary_and_length(inputs)[1],
        bos_id=language_model.bos_id if language_model else -1,
        sinks=language_model.sinks if language_model else -1,
        chat=inputs.chat is not None,
        source_length=side.length if side else 0,
        source_tensors=side.tensors if side else 0,
        source_masked=side is not None and side.mask_input >= 0,
        accelerator=inputs.npu.accelerator if inputs.npu else None,
    )
    return manifest.to_json(
        manifest.Manifest(
            title(inputs.name),
            inputs.board.name,
            facts,
            dict(inputs.inputs),
            dict(inputs.options),
            manifest.versions(),
            files,
        )
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
