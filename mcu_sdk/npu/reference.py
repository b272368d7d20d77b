"""What a delegate computes, told without the firmware: by the TOSA reference model, or by the simulator alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from mcu_sdk.errors import ModelError, PteError, ToolMissingError
from mcu_sdk.npu.blob import VelaBlob
from mcu_sdk.npu.regions import check_regions
from mcu_sdk.npu.simulator import Simulator
from mcu_sdk.npu.stream import read_config

_DTYPES = {3: np.int8, 4: np.int16, 5: np.int32}
"""Element types by TOSA's numbers."""


class Delegate(Protocol):
    """A delegate as a function of bytes."""

    def run(self, inputs: Sequence[bytes]) -> list[bytes]:
        """Each input's elements in memory order -> each output's."""
        ...


class SimulatedDelegate:
    """A blob on the simulator, in memory of its own. Raises what `check_regions` does."""

    def __init__(self, blob: VelaBlob) -> None:
        check_regions(blob)
        self._blob = blob
        self._simulator = Simulator(read_config(blob.commands).accelerator)
        self._weights = np.frombuffer(blob.weights, np.uint8).copy()

    def run(self, inputs: Sequence[bytes]) -> list[bytes]:
        """Raises PteError where the inputs are not the blob's, and what the simulator raises."""
        expected = [tensor.size_bytes for tensor in self._blob.inputs]
        if [len(data) for data in inputs] != expected:
            raise PteError(f"The delegate takes {expected} bytes; it was given {[len(d) for d in inputs]}.")
        scratch = np.zeros(self._blob.scratch_size, np.uint8)
        for tensor, data in zip(self._blob.inputs, inputs, strict=True):
            scratch[tensor.offset : tensor.offset + len(data)] = np.frombuffer(data, np.uint8)
        self._simulator.run(self._blob.commands, [self._weights, scratch])
        return [scratch[t.offset : t.offset + t.size_bytes].tobytes() for t in self._blob.outputs]


class TosaDelegate:
    """The TOSA graph that a blob was compiled from, on Arm's reference model.

    Raises ToolMissingError without the reference model, ModelError for a graph that cannot be read.
    """

    def __init__(self, graph: bytes) -> None:
        try:
            import tosa.TosaGraph as TosaGraph
            import tosa_reference_model
        except ImportError as error:
            raise ToolMissingError(
                "The TOSA reference model is not installed.",
                hint="Install it: pip install tosa-tools ml_dtypes",
            ) from error
        self._graph = graph
        self._model = tosa_reference_model
        try:
            block = TosaGraph.TosaGraph.GetRootAs(graph, 0).Regions(0).Blocks(0)
            tensors = {block.Tensors(i).Name(): block.Tensors(i) for i in range(block.TensorsLength())}
            found = [tensors[block.Inputs(i)] for i in range(block.InputsLength())]
            self._inputs = [(tuple(map(int, t.ShapeAsNumpy())), np.dtype(_DTYPES[t.Type()])) for t in found]
        except Exception as error:
            raise ModelError(f"The TOSA graph cannot be read: {type(error).__name__}: {error}.") from error

    def run(self, inputs: Sequence[bytes]) -> list[bytes]:
        """Raises ModelError where the inputs are not the graph's, or the reference model refuses."""
        expected = [int(np.prod(shape)) * dtype.itemsize for shape, dtype in self._inputs]
        if [len(data) for data in inputs] != expected:
            raise ModelError(
                f"The TOSA graph takes {expected} bytes; it was given {[len(d) for d in inputs]}."
            )
        arrays = [
            np.frombuffer(data, dtype).reshape(shape)
            for data, (shape, dtype) in zip(inputs, self._inputs, strict=True)
        ]
        with _silent():
            outputs, status = self._model.run(self._graph, arrays)
        if "VALID" not in str(status) or "INVALID" in str(status):
            raise ModelError(f"The TOSA reference model calls the graph {status}.")
        return [np.ascontiguousarray(output).tobytes() for output in outputs]


@contextmanager
def _silent() -> Iterator[None]:
    """The reference model writes its warnings past Python; standard output is for results."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
