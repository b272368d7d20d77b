"""The emitter of a delegate's call: inputs into the NPU's scratch, the driver, outputs out of it."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.npu.blob import VelaTensor, read_blob
from mcu_sdk.npu.regions import check_regions
from mcu_sdk.planning.emitters.checks import call
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Pointer, Tensor, Value
from mcu_sdk.planning.registry import emits, unsupported

BLOB_ALIGNMENT = 16
"""Bytes: the NPU fetches commands and weights in bursts of this size."""


@emits("delegate::EthosUBackend")
def ethos_u(instruction: Instruction) -> Sequence[KernelCall]:
    """(blob, inputs, outputs, scratch); what already lies where the NPU reads or writes it is not copied."""
    data, inputs, outputs, scratch = instruction.arguments
    assert isinstance(data, Tensor) and data.data is not None and isinstance(scratch, Tensor)
    if data.offset % BLOB_ALIGNMENT:
        unsupported(
            instruction, f"its blob begins at byte {data.offset} of the file, no multiple of {BLOB_ALIGNMENT}"
        )
    blob = read_blob(bytes(data.data))
    check_regions(blob)
    run = KernelCall(
        "ethos_u_run",
        (
            Pointer(data, blob.commands_offset, "uint8_t"),
            len(blob.commands),
            Pointer(data, blob.weights_offset, "uint8_t") if blob.weights else None,
            len(blob.weights),
            scratch,
            blob.scratch_size,
        ),
        "drivers/ethos_u/ethos_u_run.h",
        ("drivers/ethos_u/ethos_u.cpp", "drivers/ethos_u/ethos_u_run.cpp"),
        comment=f"on the NPU, {len(blob.commands)} bytes of commands, {len(blob.weights)} of weights",
    )
    before = [
        _copy(tensor, place, "input")
        for tensor, place in _pairs(instruction, inputs, blob.inputs, scratch)
        if not tensor.same_memory(place)
    ]
    after = [
        _copy(place, tensor, "output")
        for tensor, place in _pairs(instruction, outputs, blob.outputs, scratch)
        if not tensor.same_memory(place)
    ]
    return [*before, run, *after]


def _pairs(
    instruction: Instruction, values: Value, places: Sequence[VelaTensor], scratch: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Each tensor with its place in the scratch."""
    assert isinstance(values, list)
    pairs = []
    for index, (tensor, place) in enumerate(zip(values, places, strict=True)):
        assert isinstance(tensor, Tensor)
        if tensor.nbytes != place.size_bytes or tensor.dtype.size != place.element_size:
            unsupported(
                instruction,
                f"tensor {index} has {tensor.nbytes} bytes of {tensor.dtype!r}; Vela expects {place.size_bytes} bytes of "
                f"{place.element_size}-byte elements",
            )
        pairs.append(
            (tensor, Tensor(DType.U8, (tensor.nbytes,), scratch.space, scratch.offset + place.offset))
        )
    return pairs


def _copy(source: Tensor, destination: Tensor, what: str) -> KernelCall:
    (one,) = call("copy", source, destination, source.nbytes, comment=f"{what} of the NPU")
    return one
