"""Runs a .pte with PyTorch, instruction by instruction, in the memory that was planned for it.

Every memory space is one block of bytes and every tensor a view into it, so a wrong plan gives wrong numbers
here as it would on the device. The operators are their Python references, from ExecuTorch or from
`mcu_sdk.operators.reference`; no kernel of the firmware takes part. PyTorch keeps subnormal floats, the firmware
flushes them to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module, util
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcu_sdk.errors import PteError, UnsupportedOperatorError, UsageError
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.reference import Delegate, SimulatedDelegate
from mcu_sdk.operators.table import OWN, is_out_variant, plain_overload
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.pte.read import Pte

Trace = Callable[[Instruction, list[torch.Tensor]], None]
"""Called after each instruction with copies of what it wrote."""

_DTYPES = {
    DType.U8: torch.uint8,
    DType.S8: torch.int8,
    DType.S16: torch.int16,
    DType.S32: torch.int32,
    DType.S64: torch.int64,
    DType.F16: torch.float16,
    DType.F32: torch.float32,
    DType.F64: torch.float64,
    DType.BOOL: torch.bool,
}
_SCALAR_TYPES = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    11: torch.bool,
}
_QUANTIZED_WEIGHTS = "mcu_sdk.operators.reference.of_executorch.quantized_weights"
_LIBRARIES = {
    "aten": (),
    OWN: ("mcu_sdk.operators.reference",),
    # The passes come first: the operators' module imports them in a circle.
    "cortex_m": ("executorch.backends.cortex_m.passes", "executorch.backends.cortex_m.ops.operators"),
    "dim_order_ops": ("executorch.exir.passes.dim_order_ops_registry",),
    "quantized_decomposed": ("torch.ao.quantization.fx._decomposed",),
    "quantized_decomposed::mixed_linear": (_QUANTIZED_WEIGHTS,),
    "quantized_decomposed::embedding_byte": (_QUANTIZED_WEIGHTS,),
}
"""Modules that define the operators of a namespace, or an operator that is not defined with its namespace."""


class Interpreter:
    """One loaded .pte with its memories; the mutable buffers live from `run` to `run`. `beside`: another of the same file,
    whose mutable buffers are shared.

    `delegates` compute what was compiled for an NPU, in the order of `pte.delegates`; without them the simulator
    does. Raises UnsupportedOperatorError for an operator that PyTorch does not know.
    """

    def __init__(
        self, pte: Pte, delegates: Sequence[Delegate] = (), beside: Interpreter | None = None
    ) -> None:
        self._pte = pte
        self._delegates = list(delegates)
        self._memory = {
            Space.ARENA: torch.zeros(pte.arena_bytes, dtype=torch.uint8),
            Space.KV_CACHE: torch.zeros(pte.kv_cache_bytes, dtype=torch.uint8),
        }
        if beside is not None:
            self._memory[Space.KV_CACHE] = beside._memory[Space.KV_CACHE]
        self._views: dict[Tensor, torch.Tensor] = {}
        operators = {instruction.operator for instruction in pte.instructions}
        for name in (*{operator.split("::")[0] for operator in operators}, *operators):
            _load_library(name)
        self._bytes_of = {space: memory.numpy() for space, memory in self._memory.items()}
        self._steps = [self._prepare(*pair) for pair in zip(pte.instructions, pte.writes, strict=True)]
        self.inputs = [self._view(tensor) for tensor in pte.inputs]
        self.outputs = [self._view(tensor) for tensor in pte.outputs]

    def reset(self) -> None:
        """Zero the arena and the KV cache, as the firmware does before the first step."""
        for memory in self._memory.values():
            memory.zero_()

    @torch.no_grad()
    def run(self, *inputs: torch.Tensor, trace: Trace | None = None) -> list[torch.Tensor]:
        """One step: copies of the outputs, with the shapes and types the .pte gives them.

        Raises UsageError when `inputs` differ in number, shape or type from the .pte's, and PteError when an
        operator rejects its arguments.
        """
        expected = [(tuple(view.shape), view.dtype) for view in self.inputs]
        found = [(tuple(tensor.shape), tensor.dtype) for tensor in inputs]
        if expected != found:
            raise UsageError(f"The model takes inputs {expected}; it was given {found}.")
        for view, tensor in zip(self.inputs, inputs, strict=True):
            view.copy_(tensor)
        for instruction, written, step in zip(
            self._pte.instructions, self._pte.writes, self._steps, strict=True
        ):
            self._run(instruction, step)
            if trace is not None:
                trace(instruction, [self._view(tensor).clone() for tensor in written])
        return [output.clone() for output in self.outputs]

    def run_stored(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """`run` on flat arrays of elements in the order in which they lie in the firmware's memory, and so its outputs:
        for a tensor in channels-last order that is not the order of its shape."""
        given = [
            _of_shape(torch.from_numpy(array).to(view.dtype), tensor)
            for array, view, tensor in zip(arrays, self.inputs, self._pte.inputs, strict=True)
        ]
        outputs = self.run(*given)
        return [
            output.permute(tensor.order).flatten().numpy()
            for output, tensor in zip(outputs, self._pte.outputs, strict=True)
        ]

    def run_alone(self) -> None:
        """The instructions on whatever is in the memories. Raises PteError when an operator rejects its arguments."""
        with torch.no_grad():
            for instruction, step in zip(self._pte.instructions, self._steps, strict=True):
                self._run(instruction, step)

    def memory_of(self, tensor: Tensor) -> NDArray[np.uint8]:
        """The bytes of a tensor that is no constant, to read and to write."""
        return self._bytes_of[tensor.space][tensor.offset : tensor.offset + tensor.nbytes]

    @staticmethod
    def _run(instruction: Instruction, step: Callable[[], None]) -> None:
        try:
            step()
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            raise PteError(
                f"Instruction {instruction.index} of the model, {instruction.full_name} in {instruction.name}, "
                f"failed in PyTorch: {error}"
            ) from error

    def _view(self, tensor: Tensor) -> torch.Tensor:
        if tensor not in self._views:
            if tensor.is_constant:
                assert tensor.data is not None, "pte.py gives every constant its data"
                content = bytearray(tensor.data)
                raw = (
                    torch.frombuffer(content, dtype=torch.uint8)
                    if content
                    else torch.empty(0, dtype=torch.uint8)
                )
            else:
                raw = self._memory[tensor.space][tensor.offset : tensor.offset + tensor.nbytes]
            self._views[tensor] = _of_shape(raw.view(_DTYPES[tensor.dtype]), tensor)
        return self._views[tensor]

    def _resolve(self, value: Value) -> Any:
        if isinstance(value, Tensor):
            return self._view(value)
        if isinstance(value, list):
            return [self._resolve(item) for item in value]
        return value

    def _prepare(self, instruction: Instruction, written: Sequence[Tensor]) -> Callable[[], None]:
        """The instruction as a function without arguments, over views that do not move.

        ATen's out overloads write in place. The others are written in Python, where an out overload may be
        missing or rebind instead of writing: there the functional overload runs, and its results are copied.
        """
        namespace, name = instruction.operator.split("::")
        if namespace == "delegate":
            return self._prepare_delegate(instruction)
        overload = instruction.overload or "default"
        arguments = [self._resolve(argument) for argument in instruction.arguments]
        if namespace == "aten" or not is_out_variant(overload):
            target = _find(instruction, namespace, name, overload)
            positional, keywords = _bind(target, arguments)

            def in_place() -> None:
                target(*positional, **keywords)

            return in_place
        outs = [self._view(tensor) for tensor in written]
        inputs = arguments[: _count_inputs(instruction, written)]
        functional = _find(instruction, namespace, name, plain_overload(overload) or "default")
        if namespace == "dim_order_ops":  # its out overloads drop the options: the arguments do not line up
            inputs = inputs[:1]
        positional, keywords = _bind(functional, inputs)

        def copied() -> None:
            results = functional(*positional, **keywords)
            results = [results] if isinstance(results, torch.Tensor) else list(results)
            for out, result in zip(outs, results, strict=True):
                if out.shape != result.shape:
                    raise ValueError(
                        f"the result is {list(result.shape)}, the planned tensor {list(out.shape)}"
                    )
                out.copy_(result)

        return copied

    def _prepare_delegate(self, instruction: Instruction) -> Callable[[], None]:
        """A call of what was compiled for an NPU; see pte.py for its arguments."""
        blob, inputs, outputs, _ = instruction.arguments
        assert isinstance(blob, Tensor) and blob.data is not None
        assert isinstance(inputs, list) and isinstance(outputs, list)
        number = [delegate.offset for delegate in self._pte.delegates].index(blob.offset)
        delegate = (
            self._delegates[number] if self._delegates else SimulatedDelegate(read_blob(bytes(blob.data)))
        )
        read = [self._bytes(value) for value in inputs]
        written = [self._bytes(value) for value in outputs]

        def run() -> None:
            results = delegate.run([view.numpy().tobytes() for view in read])
            for view, data in zip(written, results, strict=True):
                view.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))

        return run

    def _bytes(self, value: Value) -> torch.Tensor:
        """A tensor's bytes in memory order, uint8[n]."""
        assert isinstance(value, Tensor)
        if value.is_constant:
            return torch.frombuffer(bytearray(value.data or b""), dtype=torch.uint8)
        return self._memory[value.space][value.offset : value.offset + value.nbytes]


def _of_shape(elements: torch.Tensor, tensor: Tensor) -> torch.Tensor:
    """A view of a tensor's shape over its elements as they lie in memory."""
    order = tensor.order
    stored = elements.view([tensor.shape[dimension] for dimension in order])
    return stored.permute([order.index(dimension) for dimension in range(len(order))])


def _count_inputs(instruction: Instruction, written: Sequence[Tensor]) -> int:
    """How many arguments come before the out tensors, which stand one by one or as one list."""
    last = instruction.arguments[-1]
    return len(instruction.arguments) - (1 if isinstance(last, list) else len(written))


def _load_library(name: str) -> None:
    """Import what defines a namespace's operators, or an operator."""
    for module_name in _LIBRARIES.get(name, ()):
        if util.find_spec(module_name.split(".")[0]) is not None:
            import_module(module_name)


def _find(instruction: Instruction, namespace: str, name: str, overload: str) -> Any:
    try:
        return getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except AttributeError as error:
        raise UnsupportedOperatorError(
            f"Instruction {instruction.index} of the model calls {instruction.full_name}, which PyTorch does not know.",
            hint="Import the library that defines it before the .pte is interpreted.",
        ) from error


def _bind(target: Any, arguments: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments by the operator's schema, in whose order a .pte lists them."""
    schema = target._schema.arguments
    if len(arguments) > len(schema):
        raise PteError(f"{target} takes {len(schema)} arguments; the .pte gives {len(arguments)}.")
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for parameter, argument in zip(schema, arguments, strict=False):
        kind = str(parameter.real_type)
        if "ScalarType" in kind and type(argument) is int:
            argument = _SCALAR_TYPES.get(argument, argument)
        elif "MemoryFormat" in kind or "Layout" in kind or "Device" in kind:
            argument = None  # the views have their layout already
        if parameter.kwarg_only:
            keywords[parameter.name] = argument
        else:
            positional.append(argument)
    return positional, keywords
