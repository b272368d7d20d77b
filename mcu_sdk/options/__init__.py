"""Every option once: its name in Python, its flag, type, default and help.

From the fields of these classes come the flags of the command line (commands/options.py), the key of the cache, the entries
of a project's manifest and, from these, `regenerate`. No torch here.
"""

from mcu_sdk.options.compiling import Activations, CacheScales, CompileOptions, Weights
from mcu_sdk.options.kinds import ANY, CHECKPOINT, PTE, Kind
from mcu_sdk.options.request import GenerateRequest, no_npu_executorch, no_npu_library
from mcu_sdk.options.values import choices_of, parse_flash

__all__ = [
    "ANY",
    "CHECKPOINT",
    "PTE",
    "Activations",
    "CacheScales",
    "CompileOptions",
    "GenerateRequest",
    "Kind",
    "Weights",
    "choices_of",
    "no_npu_executorch",
    "no_npu_library",
    "parse_flash",
]
