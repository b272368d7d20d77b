"""mcu-sdk: from a Transformers checkpoint to verified firmware on a microcontroller."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcu_sdk.api import (
        build,
        chat,
        compare,
        compile_checkpoint,
        run,
        run_prompts,
        run_texts,
        verify,
        verify_chat,
        verify_prompts,
        verify_texts,
    )
    from mcu_sdk.generation import generate
    from mcu_sdk.options import CompileOptions, GenerateRequest
    from mcu_sdk.project.host_library import HostModel
    from mcu_sdk.project.joined import join_weights
    from mcu_sdk.project.operator_library import write_operator_library
    from mcu_sdk.recipes.module import compile_module

__version__ = "0.1.0"
__all__ = [
    "CompileOptions",
    "GenerateRequest",
    "HostModel",
    "__version__",
    "build",
    "chat",
    "compare",
    "compile_checkpoint",
    "compile_module",
    "generate",
    "join_weights",
    "run",
    "run_prompts",
    "run_texts",
    "verify",
    "verify_chat",
    "verify_prompts",
    "verify_texts",
    "write_operator_library",
]

_PLACES = {
    "CompileOptions": "options",
    "GenerateRequest": "options",
    "HostModel": "project.host_library",
    "build": "api",
    "chat": "api",
    "compare": "api",
    "compile_checkpoint": "api",
    "compile_module": "recipes.module",
    "generate": "generation",
    "join_weights": "project.joined",
    "run": "api",
    "run_prompts": "api",
    "run_texts": "api",
    "verify": "api",
    "verify_chat": "api",
    "verify_prompts": "api",
    "verify_texts": "api",
    "write_operator_library": "project.operator_library",
}


def __getattr__(name: str) -> Any:
    """The Python API, imported when it is asked for: `import mcu_sdk` stays quick, and needs no PyTorch."""
    if name in _PLACES:
        return getattr(import_module(f"mcu_sdk.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
