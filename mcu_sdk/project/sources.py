"""The C++ files of a project, and what they need of firmware/."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from mcu_sdk import resources
from mcu_sdk.board.board import Board
from mcu_sdk.errors import BoardError
from mcu_sdk.planning.kernel_files import closure
from mcu_sdk.project.presets import Optimize
from mcu_sdk.project.project_inputs import ProjectInputs

DRIVER_FILES = {
    "failed": "ethos_u_failed",
    "mmio": "register_access_mmio",
    "semihosting": "register_access_semihosting",
    "pipe": "register_access_pipe",
    "callback": "register_access_callback",
}
"""What of the NPU's driver depends on where it runs."""

_NO_TOKENIZER = {
    "present": False,
    "reason": "the model came without one",
    "normalize": [],
    "sources": ["runtime/tokenizer/encode.cpp", "runtime/tokenizer/unicode.cpp"],
}


def has_tables(inputs: ProjectInputs) -> bool:
    """Whether there is a model/tokenizer.cpp: a language model's may say that there is no tokenizer."""
    return inputs.language_model is not None or inputs.tokenizer is not None


def tokenizer_of(inputs: ProjectInputs) -> Mapping[str, Any]:
    """The tokenizer's tables, or what stands for none."""
    return inputs.tokenizer or _NO_TOKENIZER


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
    if has_tables(inputs):
        model += ["model/tokenizer.cpp", *(f"sdk/{source}" for source in tokenizer_of(inputs)["sources"])]
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
