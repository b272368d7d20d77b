"""One .pte of a program that keeps its weights outside, and the .ptd files that hold them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from mcu_sdk.errors import PteError, UnsupportedOperatorError, UsageError, as_ours
from mcu_sdk.planning.instruction import Tensor
from mcu_sdk.planning.pte.program import ExecutionPlan, Program, TensorValue, read_program
from mcu_sdk.planning.pte.read import load_bytes, read_delegates
from mcu_sdk.planning.pte.tensor_data import TensorLayout, read_tensor_data
from mcu_sdk.planning.pte.values import DTYPES, ValueReader, dtype_name, shown

_ALIGNMENT = 16
"""Of constants in the file: a kernel reads them in place."""


@dataclass(frozen=True)
class _Stored:
    """A tensor's bytes, and the file they were found in."""

    file: str
    layout: TensorLayout | None
    data: bytes


def join_weights(output: str | Path, pte: str | Path, *weights: str | Path) -> Path:
    """Write a .pte that holds its weights to `output`, and return that: of one that keeps them outside, and its .ptd files.

    What it computes stays as it is, in `mcu-sdk generate --pte` and under ExecuTorch's own runtime. They belong together
    where the .ptd files have a tensor of the same name, type and sizes for each that the program takes, and no other; the
    program says no more of them. Raises PteError where they do not, and for files that cannot be read, and
    UnsupportedOperatorError for weights that a step changes.
    """
    if not weights:
        raise UsageError("The .ptd files that hold the program's weights were expected; none was given.")
    data = load_bytes(Path(pte))
    joined = joined_program(data, {str(path): load_bytes(Path(path)) for path in weights})
    output = Path(output)
    with tempfile.TemporaryDirectory(prefix=".joined.", dir=output.absolute().parent) as staging:
        written = Path(staging) / "model.pte"
        written.write_bytes(joined)
        os.replace(written, output)
    return output


def joined_program(data: bytes, files: Mapping[str, bytes]) -> bytes:
    """The .pte of a program's and its .ptd files' bytes, those by their names. Raises as join_weights() does."""
    program = read_program(data)
    taken = _external(program)
    stored = _stored(files)
    _check_belong(taken, stored, files)
    joined = _written(data, stored)
    _check_same(program, data, stored, joined)
    return joined


def _is_external(value: object) -> bool:
    return (
        isinstance(value, TensorValue)
        and value.extra_tensor_info is not None
        and value.extra_tensor_info.location != 0
    )


def _external(program: Program) -> dict[str, TensorValue]:
    """The tensors that any method keeps outside, by their names."""
    found: dict[str, TensorValue] = {}
    for plan in program.execution_plan:
        for value in plan.values:
            if not _is_external(value):
                continue
            assert isinstance(value, TensorValue) and value.extra_tensor_info is not None
            name = value.extra_tensor_info.fully_qualified_name
            if value.allocation_info is not None:
                raise UnsupportedOperatorError(
                    f"{shown(name)} begins as a .ptd has it and is changed by the program; buffers start as zeros.",
                    hint="Export it as an input, or as a constant.",
                )
            if _layout(found.setdefault(name, value)) != _layout(value):
                raise PteError(f"The .pte takes {shown(name)} in two forms; it contradicts itself.")
    if not found:
        raise PteError(
            "A program that keeps weights outside was expected; this .pte holds all of its own.",
            hint="Take it as it is, without a .ptd.",
        )
    return found


def _layout(value: TensorValue) -> TensorLayout:
    return TensorLayout(value.scalar_type, value.sizes, value.dim_order)


def _stored(files: Mapping[str, bytes]) -> dict[str, _Stored]:
    """What all .ptd files hold, by the key."""
    found: dict[str, _Stored] = {}
    for file, data in files.items():
        for key, entry in read_tensor_data(data).items():
            if key in found:
                raise PteError(
                    f"Each tensor was expected in one .ptd; {shown(key)} is in {found[key].file} and in {file}.",
                    hint="Give the files that were written beside the .pte, each once.",
                )
            begin = entry.span.offset
            found[key] = _Stored(file, entry.layout, data[begin : begin + entry.span.size])
    return found


def _check_belong(
    taken: Mapping[str, TensorValue], stored: Mapping[str, _Stored], files: Iterable[str]
) -> None:
    hint = "Give the .ptd files that were written beside this .pte."
    together = f"The .pte and {', '.join(files)} do not belong together"
    for name, value in taken.items():
        if name not in stored:
            raise PteError(f"{together}: the program takes {shown(name)}, which is not there.", hint=hint)
        wanted, entry = _layout(value), stored[name]
        if entry.layout != wanted:
            there = "no tensor" if entry.layout is None else _described(entry.layout)
            raise PteError(
                f"{together}: the program takes {shown(name)} as {_described(wanted)}, and {entry.file} has {there}.",
                hint=hint,
            )
        dtype = DTYPES.get(wanted.scalar_type)
        if dtype is not None and len(entry.data) < prod(wanted.sizes) * dtype.size:
            raise PteError(
                f"The .ptd file is truncated or corrupt: {shown(name)} has {len(entry.data)} bytes.",
                hint=hint,
            )
    if left := sorted(stored.keys() - taken.keys()):
        raise PteError(f"{together}: nothing in the program takes {shown(left[0])}.", hint=hint)


def _described(layout: TensorLayout) -> str:
    order = "" if layout.dim_order == tuple(sorted(layout.dim_order)) else f" in the order {layout.dim_order}"
    return f"{dtype_name(layout.scalar_type)}{list(layout.sizes)}{order}"


@as_ours(PteError, "Writing the .pte with its weights")
def _written(data: bytes, stored: Mapping[str, _Stored]) -> bytes:
    """The program by ExecuTorch's own reader and writer, each of the tensors a constant in it."""
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
    from executorch.exir.schema import Buffer, Tensor, TensorDataLocation

    file = deserialize_pte_binary(data)
    file.program.segments = []  # of a file without data one of no bytes is left, and the writer goes on behind it
    constants = file.program.constant_buffer
    if not constants:
        constants.append(Buffer(storage=b""))  # number 0 means none
    numbers: dict[bytes, int] = {}
    for plan in file.program.execution_plan:
        for value in (each.val for each in plan.values):
            information = value.extra_tensor_info if isinstance(value, Tensor) else None
            if information is None or information.location != TensorDataLocation.EXTERNAL:
                continue
            content = stored[information.fully_qualified_name].data
            if content not in numbers:
                numbers[content] = len(constants)
                constants.append(Buffer(storage=content))
            value.data_buffer_idx, value.extra_tensor_info = numbers[content], None
    return bytes(
        serialize_pte_binary(
            file,
            extract_delegate_segments=True,
            constant_tensor_alignment=_ALIGNMENT,
            delegate_alignment=_ALIGNMENT,
        )
    )


def _check_same(program: Program, data: bytes, stored: Mapping[str, _Stored], joined: bytes) -> None:
    """Raises PteError unless what was written says what the program says, with the tensors' bytes in it."""
    after = read_program(joined)
    plans = zip(program.execution_plan, after.execution_plan, strict=True)
    if not all(_is_same(program, data, a, after, joined, b, stored) for a, b in plans):
        raise PteError(
            "ExecuTorch's writer was expected to put the weights into the .pte and change nothing else; it did.",
            hint="Export the model without external constants.",
        )


def _is_same(
    before: Program,
    data: bytes,
    plan: ExecutionPlan,
    after: Program,
    joined: bytes,
    other: ExecutionPlan,
    stored: Mapping[str, _Stored],
) -> bool:
    """Whether two methods are the same but for where their constants and blobs lie."""
    plain = {"values": (), "delegates": ()}
    if replace(plan, **plain) != replace(other, **plain) or len(plan.values) != len(other.values):  # type: ignore[arg-type]
        return False
    blobs = [
        [(blob.id, source[blob.offset : blob.offset + blob.size]) for blob in read_delegates(whole, method)]
        for whole, source, method in ((before, data, plan), (after, joined, other))
    ]
    if blobs[0] != blobs[1]:
        return False
    first, second = ValueReader(before, plan, data), ValueReader(after, other, joined)
    return all(_is_same_value(index, plan, other, first, second, stored) for index in range(len(plan.values)))


def _is_same_value(
    index: int,
    plan: ExecutionPlan,
    other: ExecutionPlan,
    first: ValueReader,
    second: ValueReader,
    stored: Mapping[str, _Stored],
) -> bool:
    """Whether a value of two methods is the same, of a constant its bytes."""
    value, said = plan.values[index], other.values[index]
    if not isinstance(value, TensorValue) or not isinstance(said, TensorValue):
        return repr(value) == repr(said)  # of which a float may be no number
    if _is_external(value):
        assert value.extra_tensor_info is not None
        content = stored[value.extra_tensor_info.fully_qualified_name].data
        return _layout(value) == _layout(said) and content.startswith(_constant(second, index))
    if bool(value.data_buffer_idx) != bool(said.data_buffer_idx):
        return False
    if replace(value, data_buffer_idx=0) != replace(said, data_buffer_idx=0):
        return False
    is_constant = value.data_buffer_idx and value.allocation_info is None
    return not is_constant or _constant(first, index) == _constant(second, index)


def _constant(values: ValueReader, index: int) -> bytes:
    """The bytes of a tensor that lies in the file."""
    tensor = values.resolve(index)
    assert isinstance(tensor, Tensor) and tensor.data is not None
    return bytes(tensor.data)
