"""Runs the kernel calls of a plan on this computer: the kernels' library, one block of bytes for each memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcu_sdk.planning.instruction import (
    Argument,
    ConstantArray,
    KernelCall,
    Parameters,
    Pointer,
    Scratch,
    Space,
    Tensor,
)
from tests.kernels.instructions import NUMPY, table_of


def aligned(size: int) -> np.ndarray[Any, Any]:
    """Zeroed bytes that begin at a multiple of 16."""
    memory = np.zeros(size + 16, np.uint8)
    start = -memory.ctypes.data % 16
    return memory[start : start + size]


@dataclass
class Memory:
    """The bytes of the three spaces."""

    arena: np.ndarray[Any, Any]
    kv_cache: np.ndarray[Any, Any] = field(default_factory=lambda: aligned(16))
    model: np.ndarray[Any, Any] = field(default_factory=lambda: aligned(16))

    def bytes_of(self, space: Space) -> np.ndarray[Any, Any]:
        return {Space.ARENA: self.arena, Space.KV_CACHE: self.kv_cache, Space.MODEL: self.model}[space]

    def array(self, tensor: Tensor) -> np.ndarray[Any, Any]:
        """A tensor's elements, as a view in its own shape and order of dimensions."""
        raw = self.bytes_of(tensor.space)[tensor.offset : tensor.offset + tensor.nbytes]
        order = tensor.dim_order or tuple(range(len(tensor.shape)))
        stored = raw.view(NUMPY[tensor.dtype]).reshape([tensor.shape[axis] for axis in order])
        return stored.transpose([order.index(axis) for axis in range(len(order))])


def run_calls(library: ctypes.CDLL, memory: Memory, calls: Sequence[KernelCall]) -> None:
    """Run the calls in order; scratch is made for each one, guarded on both sides."""
    for call in calls:
        kept: list[np.ndarray[Any, Any]] = []
        guarded: list[tuple[np.ndarray[Any, Any], int]] = []
        function = getattr(library, call.function)
        function.restype = None
        function(*(_argument(a, memory, kept, guarded) for a in call.arguments))
        for block, size in guarded:
            assert (block[:64] == 0xA5).all() and (block[64 + size :] == 0xA5).all(), (
                f"{call.function} wrote outside its scratch"
            )


def _argument(
    argument: Argument, memory: Memory, kept: list[np.ndarray[Any, Any]], guarded: list[tuple[Any, int]]
) -> Any:
    if isinstance(argument, (Tensor, Pointer)):
        tensor = argument if isinstance(argument, Tensor) else argument.tensor
        offset = tensor.offset + (0 if isinstance(argument, Tensor) else argument.byte_offset)
        block = memory.bytes_of(tensor.space)
        assert tensor.offset + tensor.nbytes <= block.size and offset <= block.size
        return ctypes.c_void_p(block.ctypes.data + offset)
    if isinstance(argument, (ConstantArray, Parameters)):
        kept.append(table_of(argument))
        return ctypes.c_void_p(kept[-1].ctypes.data)
    if isinstance(argument, Scratch):
        block = aligned(argument.size + 128)
        block[:] = 0xA5
        guarded.append((block, argument.size))
        return ctypes.c_void_p(block.ctypes.data + 64)
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, bool):
        return ctypes.c_bool(argument)
    if isinstance(argument, int):
        return ctypes.c_int64(argument) if not -(2**31) <= argument < 2**31 else ctypes.c_int32(argument)
    return ctypes.c_float(argument)
