"""Which weights a checkpoint's folder holds, from the headers of its safetensors files: no tensor is read, no torch needed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from mcu_sdk.errors import ModelError
from mcu_sdk.model.json_object import json_object
from mcu_sdk.text import one_line

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
SHARD = re.compile(r".*-\d{5}-of-\d{5}\.safetensors")
DISTRIBUTED = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")
"""What transformers takes for a distributed checkpoint, whatever else lies beside it."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of safetensors that hold weights as they are; everything else is an index, a mask or a code."""

SAFE = "Save the model with save_pretrained(folder, safe_serialization=True)."


@dataclass(frozen=True)
class Tensor:
    """Where a stored tensor lies, its type by safetensors' name, and its shape."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Stored:
    """The tensors that transformers reads, by name, and copies of the weights in other layouts, which it does not."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    copies: tuple[str, ...] = ()


def read_stored(folder: Path, name: str) -> Stored:
    """The folder's weights, chosen as transformers chooses: model.safetensors, or else the shards of the index.

    Raises ModelError for files that are missing, cut, only pickled, or of which nobody knows what they are for.
    """
    present = {path.name: path for path in sorted(folder.glob("*.safetensors"))}
    used = _used(folder, name, present)
    tensors: dict[str, Tensor] = {}
    for path in used:
        for key, tensor in read_header(path).items():
            if key in tensors:
                raise ModelError(
                    f"Each weight was expected once; {key} of {name} is in {tensors[key].file.name} and in {path.name}.",
                    hint="Fetch or save the checkpoint again.",
                )
            tensors[key] = tensor
    others = [
        path for path in present.values() if path not in used and path.name != "adapter_model.safetensors"
    ]
    return Stored(tensors, _copies(name, tensors, others))


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file. Raises ModelError for a file that is cut or none."""
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as content:
            slices = {key: content.get_slice(key) for key in content.keys()}  # noqa: SIM118 (it is no mapping)
            return {key: Tensor(path, s.get_dtype(), tuple(s.get_shape())) for key, s in slices.items()}
    except Exception as error:  # SafetensorError, OSError, and what its Rust panics become
        size = path.stat().st_size if path.is_file() else 0
        raise ModelError(
            f"A safetensors file was expected; {path.name} ({size:,} bytes) could not be read: "
            f"{one_line(str(error))[:200]}.",
            hint="It is cut or damaged; fetch or save it again.",
        ) from error


def _used(folder: Path, name: str, present: dict[str, Path]) -> list[Path]:
    """The files that transformers reads."""
    distributed = next((file for file in present if DISTRIBUTED.fullmatch(file)), None)
    if distributed is not None:
        raise ModelError(
            f"One model.safetensors, or shards with an index, were expected; {name} is a checkpoint of distributed "
            f"training ({distributed}).",
            hint=SAFE,
        )
    sharded = (folder / INDEX).is_file()
    if SINGLE in present:
        if sharded and set(_indexed(folder, name)) != {SINGLE}:
            raise ModelError(
                f"{name} has both {SINGLE} and {INDEX}, which names other files; which of them is the model cannot be "
                "told.",
                hint="Move one of them out of the folder.",
            )
        return [present[SINGLE]]
    if sharded:
        wanted = _indexed(folder, name)
        missing = [file for file in wanted if file not in present]
        if missing:
            raise ModelError(
                f"{INDEX} of {name} names {len(wanted)} files; {len(missing)} of them are missing, such as {missing[0]}.",
                hint="Fetch the missing files into the same folder.",
            )
        return [present[file] for file in wanted]
    shard = next((file for file in present if SHARD.fullmatch(file)), None)
    if shard is not None:
        raise ModelError(
            f"Shards come with an index; {name} has {shard} and no {INDEX}.",
            hint="Fetch the index into the same folder.",
        )
    if set(present) - {"adapter_model.safetensors"}:
        raise ModelError(
            f"Weights were expected in {SINGLE}; {name} has {', '.join(sorted(present)[:3])} instead.",
            hint=f"Rename the file to {SINGLE} if its weights are in transformers' layout; else convert the checkpoint.",
        )
    raise _none(folder, name)


def _none(folder: Path, name: str) -> ModelError:
    """What to say where there are no safetensors."""
    pickled = [path.name for pattern in PICKLED for path in sorted(folder.glob(pattern))]
    if pickled:
        return ModelError(
            f"Weights as safetensors were expected; {name} has only pickled ones ({pickled[0]}), which can run code "
            "when they are read.",
            hint="Convert them with save_pretrained(folder, safe_serialization=True) where you trust the file.",
        )
    gguf = next((path.name for path in sorted(folder.glob("*.gguf"))), None)
    if gguf is not None:
        return ModelError(
            f"Weights as safetensors were expected; {name} has {gguf}.",
            hint=f"Give the file itself: --model {folder / gguf}",
        )
    other = next(
        (p.name for e in ("*.h5", "*.msgpack", "*.onnx", "*.tflite") for p in sorted(folder.glob(e))), None
    )
    found = f"there is {other}, which is not read" if other else "there are none"
    return ModelError(f"Weights as safetensors were expected in {folder}; {found}.", hint=SAFE)


def _indexed(folder: Path, name: str) -> list[str]:
    """The files that the index names, sorted."""
    mapped = json_object(folder / INDEX, "Fetch it again.").get("weight_map")
    if not isinstance(mapped, dict):
        raise ModelError(
            f"{INDEX} of {name} should map weights to files (weight_map); it does not.",
            hint="Fetch it again.",
        )
    files = list(mapped.values())
    odd = [
        str(file)
        for file in files
        if not isinstance(file, str) or Path(file).name != file or file in ("", "..")
    ]
    if odd or not files:
        found = f"it names {odd[0][:80]!r}" if odd else "it names none"
        raise ModelError(
            f"{INDEX} should name files in the same folder; {found}.", hint="Save the checkpoint again."
        )
    return sorted(set(files))


def _copies(name: str, tensors: dict[str, Tensor], others: Iterable[Path]) -> tuple[str, ...]:
    """The other files, if they hold as many values as the model: its weights in another layout or width.

    Raises ModelError for any other file: it may be a part of the model that would be missed.
    """
    total = sum(prod(tensor.shape) for tensor in tensors.values())
    groups: dict[str, list[Path]] = {}
    for path in others:
        groups.setdefault(re.sub(r"-\d{5}-of-\d{5}", "", path.name), []).append(path)
    for paths in groups.values():
        found = sum(prod(t.shape) for path in paths for t in read_header(path).values())
        if found != total:
            raise ModelError(
                f"Every weights file should belong to the model; {paths[0].name} of {name} is read by nothing, and holds "
                f"{found:,} values where the model has {total:,}: it is no copy in another layout.",
                hint="Move it out of the folder, if the model is complete without it.",
            )
    return tuple(path.name for paths in groups.values() for path in paths)


def parameters_note(copies: tuple[str, ...]) -> list[str]:
    """What the report says of copies."""
    if not copies:
        return []
    return [
        f"{', '.join(copies[:3])} holds as many values as the model and is taken for a copy; it is not read."
    ]


def quantized_weight(tensors: dict[str, Tensor]) -> tuple[str, str] | None:
    """A stored tensor that is no plain weight, and why; None if there is none.

    What packs weights says so in names of tensors (bitsandbytes, GPTQ, AWQ, compressed-tensors, fp8, torchao) or by a
    matrix that is not of floats; masks and positions of old checkpoints are integers, too, but no `weight`.
    """
    for key, tensor in tensors.items():
        if PACKED.search(key):
            return key, f"a part of packed weights, {tensor.dtype}"
        if key.endswith("weight") and tensor.dtype not in FLOATS:
            return key, f"of type {tensor.dtype}"
    return None


PACKED = re.compile(
    r"\.(qweight|qzeros|g_idx|scales|weight_packed|weight_scale|weight_scale_inv|weight_zero_point|weight_shape|"
    r"weight_global_scale|input_scale|SCB|weight_format|absmax|quant_map|nested_absmax|nested_quant_map|"
    r"quant_state\.[\w.]+|weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.[\w.]+)|"
    r"_?weight_(qdata|scale))$"
)
"""Names of tensors that only packed weights have."""
