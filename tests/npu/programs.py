"""A whole .pte with one delegate for an Ethos-U, lowered once for all workers of a test run."""

from __future__ import annotations

import contextlib
import fcntl
import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.stream import read_stream
from mcu_sdk.planning.pte.read import read_pte

PROGRAM = "mlp.pte"
SHAPE = (2, 24)


def lowered_program(folder: Path, accelerator: str) -> Path:
    """A linear, ReLU and a linear, int8 inside, for `accelerator`; kept in `folder`."""
    path = folder / f"{accelerator}-{PROGRAM}"
    with (folder / "npu-program.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_bytes(_lower(accelerator))
    return path


def _lower(accelerator: str) -> bytes:
    import torch
    from executorch.backends.arm.ethosu import EthosUCompileSpec, EthosUPartitioner
    from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)).eval()
    example = (torch.randn(SHAPE),)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        spec = EthosUCompileSpec(accelerator)
        quantizer = EthosUQuantizer(spec)
        quantizer.set_global(get_symmetric_quantization_config())
        prepared = prepare_pt2e(torch.export.export(module, example).module(check_guards=False), quantizer)
        prepared(*example)
        exported = torch.export.export(convert_pt2e(prepared), example)
        edge = to_edge_transform_and_lower(exported, partitioner=[EthosUPartitioner(spec)])
        return bytes(edge.to_executorch().buffer)


@dataclass(frozen=True)
class Place:
    """Where the delegate's parts lie in the file: the first byte of the blob, of its commands and of its stream."""

    blob: int
    blob_size: int
    commands: int
    stream: int


def place(program: bytes) -> Place:
    """Of the program's one delegate."""
    delegate = read_pte(program).delegates[0]
    blob = read_blob(program[delegate.offset : delegate.offset + delegate.size])
    commands = delegate.offset + blob.commands_offset
    return Place(delegate.offset, delegate.size, commands, commands + read_stream(blob.commands).offset)


def with_word(program: bytes, find: Callable[[int], bool], word: int) -> bytes:
    """The program with the first command that `find` accepts replaced by `word`, which has as many words."""
    where = place(program)
    delegate = program[where.blob : where.blob + where.blob_size]
    command = next(c for c in read_stream(read_blob(delegate).commands).commands if find(c.opcode))
    changed = bytearray(program)
    struct.pack_into("<I", changed, where.stream + 4 * command.index, word)
    return bytes(changed)
