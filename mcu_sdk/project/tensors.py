"""A model's inputs and outputs as numpy arrays: read from .npy files, checked against the model, run, and written.

An array has the shape of its tensor, or that shape behind one more dimension: one array for each of several steps, in
between which a model keeps what it remembers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import log
from mcu_sdk.errors import UsageError
from mcu_sdk.planning.instruction import DType, Tensor
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.files import replace_file, why_not_writable
from mcu_sdk.targets.transfer import collect, messages_of, steps_of
from mcu_sdk.targets.verdict import InputsLostError, check_verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device
    from mcu_sdk.targets.protocol import Transcript

ATTEMPTS = 3
"""How often a series is begun on a board that forgets its inputs in the middle."""

_MAGIC = b"\x93NUMPY"

_DTYPES = {
    DType.U8: "uint8",
    DType.S8: "int8",
    DType.S16: "int16",
    DType.S32: "int32",
    DType.S64: "int64",
    DType.F16: "float16",
    DType.F32: "float32",
    DType.F64: "float64",
    DType.BOOL: "bool",
}


@dataclass(frozen=True)
class Border:
    """One input or output. `dtype`: numpy's name; `order`: the dimensions as they lie in memory, outermost first;
    `scale`: real = scale * (q - zero_point), where that is known of an int8 one."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    nbytes: int
    scale: tuple[float, int] | None = None

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    def to_bytes(self, array: NDArray[Any]) -> bytes:
        """As the bytes lie in memory; `array` has this type and shape."""
        import numpy as np

        return np.ascontiguousarray(array.transpose(self.order)).tobytes()

    def from_bytes(self, data: bytes) -> NDArray[Any]:
        """The array of this type and shape that lies so in memory."""
        import numpy as np

        stored = np.frombuffer(data, self.dtype).reshape([self.shape[dimension] for dimension in self.order])
        return np.ascontiguousarray(stored.transpose([self.order.index(i) for i in range(len(self.order))]))


@dataclass(frozen=True)
class Borders:
    """A model's inputs and outputs, in its order."""

    inputs: tuple[Border, ...]
    outputs: tuple[Border, ...]


def borders_of(project: Project) -> Borders:
    """From model/model.pte, with what model/report.json knows of names and scales; of a language model whose encoder takes
    tensors those of its encoder.

    Without names they are "input_0", "output_0" and so on. Raises UsageError for another language model, and PteError for a
    file that cannot be read.
    """
    if project.is_language_model and not project.answers_tensors:
        raise UsageError(
            f"{project.manifest.name} takes tokens, not tensors.",
            hint="Leave --input and --output out; give it --prompt, --ids or --prompts.",
        )
    folder = project.folder / "model"
    pte = read_pte((folder / "model.pte").read_bytes())
    facts = read_facts(folder)
    if pte.encoder is not None:
        pte = pte.encoder
    return Borders(*(_borders(kind, getattr(pte, f"{kind}s"), facts) for kind in ("input", "output")))


def _borders(kind: str, tensors: Sequence[Tensor], facts: Mapping[str, Any]) -> tuple[Border, ...]:
    said = facts.get(f"{kind}_names")
    names = [str(name) for name in said] if isinstance(said, list) else []
    if not all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in names) or len(set(names)) != len(tensors):
        names = [f"{kind}_{number}" for number in range(len(tensors))]
    scales = facts.get(f"{kind}s")
    scales = scales if isinstance(scales, list) and len(scales) == len(tensors) else [None] * len(tensors)
    return tuple(
        Border(
            name,
            _DTYPES[tensor.dtype],
            tensor.shape,
            tensor.order,
            tensor.nbytes,
            _scale(scale),
        )
        for name, tensor, scale in zip(names, tensors, scales, strict=True)
    )


def _scale(entry: Any) -> tuple[float, int] | None:
    try:
        return float(entry["scale"]), int(entry["zero_point"])
    except (TypeError, KeyError, ValueError):
        return None


def choose(borders: Sequence[Border], given: Mapping[str | None, Any], option: str) -> dict[str, Any]:
    """What was given, by the tensor's name; None stands for the only one, a number for the one at that place.

    Raises UsageError for a name that no tensor has, or none where there are several.
    """
    known = ", ".join(border.name for border in borders) or "none"
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name is None and len(borders) == 1:
            name = borders[0].name
        elif name is not None and name.isdecimal() and int(name) < len(borders):
            name = borders[int(name)].name
        if name is None:
            raise UsageError(
                f"{option} needs a name where the model has {len(borders)} of them.",
                hint=f"Write {option} NAME=FILE.npy; the names are: {known}.",
            )
        if name not in {border.name for border in borders}:
            raise UsageError(
                f"The model has nothing named {name!r} for {option}.", hint=f"The names are: {known}."
            )
        if name in found:
            raise UsageError(f"{option} {name} was given twice.", hint="Leave one of them out.")
        found[name] = value
    return found


# ---- arrays for a model


@dataclass(frozen=True)
class Inputs:
    """The arrays of each step, in the model's order. `stacked`: whether they came with a dimension for the steps."""

    steps: tuple[tuple[NDArray[Any], ...], ...]
    stacked: bool


def prepare(borders: Sequence[Border], arrays: Mapping[str, NDArray[Any]]) -> Inputs:
    """The arrays as the model takes them, by step; one without a dimension for the steps is given to each of them.

    Floats of any width are taken for a float tensor, integers of any width for int32 and int64 where they fit; an int8,
    uint8 or int16 tensor is quantized, and takes nothing else. Raises UsageError where one is missing or does not fit.
    """
    if not borders:
        raise UsageError("The model takes no inputs.", hint="Leave --input out.")
    missing = [border.name for border in borders if border.name not in arrays]
    if missing:
        raise UsageError(
            f"The model has {len(borders)} inputs; none was given for {', '.join(missing)}.",
            hint="Name a file for each: " + " ".join(f"--input {border.name}=FILE.npy" for border in borders),
        )
    counts: dict[str, int] = {}
    ready = []
    for border in borders:
        array = _as_type(border, arrays[border.name])
        if array.shape == border.shape:
            ready.append(array)
        elif array.shape[1:] == border.shape and array.ndim == len(border.shape) + 1 and len(array):
            counts[border.name] = len(array)
            ready.append(array)
        elif array.shape == (0, *border.shape):
            raise UsageError(
                f"The array for {border.name} has no steps: it is {array.dtype}{list(array.shape)}."
            )
        else:
            raise UsageError(
                f"The input {border.name} is {border}, or several of them behind one more dimension; found is "
                f"{array.dtype}{list(array.shape)}.",
                hint=f"array.reshape({border.shape}) if it holds the same numbers in another shape.",
            )
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise UsageError(f"Every input needs as many steps as the others; found are {told}.")
    count = next(iter(counts.values()), 1)
    steps = tuple(
        tuple(
            array[step] if border.name in counts else array
            for border, array in zip(borders, ready, strict=True)
        )
        for step in range(count)
    )
    return Inputs(steps, bool(counts))


def _as_type(border: Border, array: NDArray[Any]) -> NDArray[Any]:
    """The array in the border's type, in this computer's byte order."""
    import numpy as np

    found, wanted = array.dtype, np.dtype(border.dtype)
    if found.newbyteorder("=") == wanted:
        return array.astype(wanted, copy=False)
    is_index = wanted.name in ("int32", "int64") and found.kind in "iu"
    if not is_index and not (wanted.kind == "f" and found.kind == "f"):
        raise UsageError(
            f"The input {border.name} is {border}; found is {found}{list(array.shape)}.",
            hint=_conversion(border, found.kind),
        )
    with np.errstate(over="ignore"):
        converted = array.astype(wanted)
    is_same = np.array_equal(converted, array) if is_index else _are_finite_alike(converted, array)
    if not is_same:
        raise UsageError(
            f"The input {border.name} is {border}; the array, {found}, has values that {wanted} cannot hold.",
            hint="Look at its least and greatest value.",
        )
    return converted


def _are_finite_alike(left: NDArray[Any], right: NDArray[Any]) -> bool:
    import numpy as np

    return np.array_equal(np.isfinite(left), np.isfinite(right))


def _conversion(border: Border, kind: str) -> str:
    """How to make of an array of `kind` what the border takes."""
    if border.dtype in ("int8", "uint8", "int16") and kind == "f":
        if border.scale is not None:
            scale, zero_point = border.scale
            return f"Quantize it: numpy.clip(numpy.round(x / {scale!r}) + {zero_point}, -128, 127).astype('int8')."
        return "Quantize it, by the scale and the zero point that the model was made with."
    return f"If its values are meant so: array.astype({border.dtype!r})."


def with_one_nan(array: NDArray[Any]) -> NDArray[Any]:
    """The array, contiguous, with every NaN of floats as the same one: IEEE 754 leaves its sign and its payload to the
    processor (firmware/runtime/digest.h)."""
    import numpy as np

    array = np.ascontiguousarray(array)
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return array
    return np.where(np.isnan(array), array.dtype.type(np.nan), array)


# ---- running


@dataclass(frozen=True)
class TensorRun:
    """What a series of steps gave: the answer to its last one, and each step's outputs."""

    transcript: Transcript
    outputs: tuple[tuple[NDArray[Any], ...], ...]


def run_series(device: Device, borders: Borders, inputs: Inputs) -> TensorRun:
    """Give a firmware the inputs step by step, and take its outputs.

    A board that is reset in the middle begins again. Raises what the device and `check_verdict` raise.
    """
    sizes = [border.nbytes for border in borders.outputs]
    data = [
        b"".join(border.to_bytes(array) for border, array in zip(borders.inputs, step, strict=True))
        for step in inputs.steps
    ]
    steps = steps_of(data, sizes)
    for attempt in range(1, ATTEMPTS + 1):
        with closing(device.each(messages_of(steps))) as answers:
            try:
                series = collect(steps, sizes, (check_verdict(answer, device.name) for answer in answers))
                break
            except InputsLostError:
                if attempt == ATTEMPTS:
                    raise
        log(f"  {device.name} lost its inputs; beginning again")
    outputs = tuple(
        tuple(border.from_bytes(part) for border, part in zip(borders.outputs, step, strict=True))
        for step in series.outputs
    )
    return TensorRun(series.transcript, outputs)


def stack(run: TensorRun, borders: Sequence[Border], *, stacked: bool) -> dict[str, NDArray[Any]]:
    """The outputs by name: with a dimension for the steps if the inputs had one, else of the only step."""
    import numpy as np

    found = {}
    for number, border in enumerate(borders):
        each = [step[number] for step in run.outputs]
        found[border.name] = np.stack(each) if stacked else each[-1]
    return found


# ---- files


def read_npy(path: Path, name: str) -> NDArray[Any]:
    """The array in a .npy file. Raises UsageError for anything else, and for arrays of Python objects."""
    import numpy as np

    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("it does not begin as one")
            file.seek(0)
            array = np.load(file, allow_pickle=False)
            rest = file.read(1)
    except OSError as error:
        raise UsageError(
            f"The array for {name} cannot be read from {str(path)!r}: {error.strerror or error}.",
            hint="Give the path of a file that numpy.save wrote.",
        ) from error
    except (ValueError, MemoryError, EOFError, SyntaxError, TypeError, OverflowError) as error:
        raise UsageError(
            f"{str(path)!r}, for {name}, is no .npy file with an array of numbers: {error}.",
            hint="Write it with numpy.save(path, array).",
        ) from error
    if rest:
        raise UsageError(
            f"{str(path)!r}, for {name}, goes on behind its array.", hint="Write one array with numpy.save."
        )
    found: NDArray[Any] = array
    return found


def check_writable(paths: Mapping[str, Path], inputs: Sequence[Path] = ()) -> None:
    """Raises UsageError, before anything runs, for a path where no file can be written, or that is an input's."""
    seen = {path.resolve() for path in inputs}
    for name, path in paths.items():
        what = why_not_writable(path) or ("it is named twice" if path.resolve() in seen else None)
        if what is not None:
            raise UsageError(
                f"The output {name} cannot be written to {str(path)!r}: {what}.", hint="Name another file."
            )
        seen.add(path.resolve())


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write the file, whole or not at all. Raises UsageError where it cannot be written."""
    import numpy as np

    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    try:
        replace_file(path, content.getvalue())
    except OSError as error:
        raise UsageError(
            f"The output cannot be written to {str(path)!r}: {error.strerror or error}.",
            hint="Name another file.",
        ) from error
