"""Writing the C++ project: templates, the sources that the plan needs, the model.

The project is written beside its destination and renamed when complete, so that a failure leaves nothing half done.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mcu_sdk import resources
from mcu_sdk.folders import made
from mcu_sdk.planning.kernel_files import includes
from mcu_sdk.project import ci, manifest
from mcu_sdk.project.context import context_of, placement_of, vocabulary_and_length
from mcu_sdk.project.destination import check_destination
from mcu_sdk.project.edited import KEPT, check_edited, hashes
from mcu_sdk.project.executorch import library_files
from mcu_sdk.project.library import MAIN, SYMBOLS
from mcu_sdk.project.names import title
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.replace import replace_generated
from mcu_sdk.project.sources import has_tables, needed_files
from mcu_sdk.project.templates import environment

MODEL_FILE = "model/model.pte"
SELF_TEST_TEMPLATE = "tests/self_test.inc.j2"
"""Filled in by self_test.py, where it is asked for."""
_SELF_TEST = "runtime/self_test.cpp"
_TOKENIZER_TEMPLATE = "model/tokenizer.cpp.j2"
_GRAMMAR_TEMPLATE = "model/grammar.cpp.j2"
_CHAT_TEMPLATE = "model/chat.cpp.j2"
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


def write_files(inputs: ProjectInputs, folder: Path) -> None:
    """The whole project, into a folder that does not exist yet."""
    context = context_of(inputs)
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
        shared = {**context, **placement_of(inputs.board, inputs.shared_layout)}
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
    if template == _TOKENIZER_TEMPLATE and not has_tables(inputs):
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
        vocab_size=vocabulary_and_length(inputs)[0],
        max_sequence_length=vocabulary_and_length(inputs)[1],
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
