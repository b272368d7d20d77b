"""mcu-sdk: from a Transformers checkpoint to verified firmware on a microcontroller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcu_sdk.recipes.module import compile_module

__version__ = "0.1.0"
__all__ = ["__version__", "compile_module"]


def __getattr__(name: str) -> Any:
    """The Python API, imported when it is asked for: `import mcu_sdk` stays quick."""
    if name == "compile_module":
        from mcu_sdk.recipes.module import compile_module

        return compile_module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
