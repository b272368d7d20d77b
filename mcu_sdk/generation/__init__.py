"""A checkpoint or a .pte, and a board -> a firmware project: what `mcu-sdk generate` does.

request -> source -> plan -> fit -> project
"""

from mcu_sdk.generation.project import generate

__all__ = ["generate"]
