"""`mcu-sdk inspect`: what is in a .pte, whether it can be compiled, and where it lies on a board."""

from __future__ import annotations

import json as json_module
import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console
    from rich.text import Text

    from mcu_sdk.board.board import Board
    from mcu_sdk.npu.cycles.estimate import StreamCycles
    from mcu_sdk.planning.pte.program import ExecutionPlan, Program, RawValue


MODEL_FILE = Path("model") / "model.pte"
"""Of a project."""


def inspect_command(
    pte: Annotated[
        Path,
        typer.Argument(metavar="MODEL.pte|PROJECT", help="The program to look into, or a project with one."),
    ],
    board: Annotated[
        str | None, typer.Option("--board", help="Also show where a .pte would lie on this board.")
    ] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also show what a .pte would take under ExecuTorch's own runtime.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show what is in a .pte: methods, operators and their kernels, delegates, constants, planned memory. Of a project also
    in which of its board's memories each part lies."""
    inspect(pte, json, board, sizes)


def inspect(pte: Path, json: bool, board: str | None = None, sizes: bool = False) -> None:
    """Print what `describe` found, on stdout; of a project, and with `board`, also where things lie.

    Raises PteError for a file that is missing, truncated or corrupt, BoardError for a board that is none, UsageError for
    a folder that is no project, or a board beside a project. A file that is sound but cannot be compiled is no error
    here: the reason is printed.
    """
    from mcu_sdk.board.board import load_board
    from mcu_sdk.errors import UsageError
    from mcu_sdk.planning.pte.read import load_bytes

    if pte.is_dir():
        if board is not None:
            raise UsageError(
                "A project has its board.", hint="Leave --board out, or name the project's model/model.pte."
            )
        facts = _of_project(pte)
    else:
        on = load_board(board) if board is not None else None
        facts = describe(load_bytes(pte))
        facts["npu"] = _npu(pte, on) if facts["problem"] is None else []
        if on is not None:
            facts["where"] = _on_board(pte, on) if facts["problem"] is None else None
    if sizes:
        facts["executorch"] = _under_executorch(pte / MODEL_FILE if pte.is_dir() else pte, facts)
    if json:
        print(json_module.dumps(_finite(facts), indent=2))
    else:
        _print_tables(pte, facts)


def _of_project(folder: Path) -> dict[str, Any]:
    """What `describe` finds in a project's .pte, and where `generate` placed it."""
    from mcu_sdk.planning.pte.read import load_bytes
    from mcu_sdk.project.accuracy import read_facts
    from mcu_sdk.project.manifest import read_manifest
    from mcu_sdk.project.npu_details import read_details

    manifest = read_manifest(folder)
    facts = describe(load_bytes(folder / MODEL_FILE))
    details = read_details(folder / "model")
    facts["npu"] = _npu_json(details.cycles) if details is not None else []
    places = read_facts(folder / "model").get("where")
    facts["where"] = {"board": manifest.board, "fits": True, **places} if places else None
    return facts


def _on_board(pte: Path, board: Board) -> dict[str, Any] | None:
    """Where a .pte would lie: with at most as much code as there can be, since nothing is compiled. None for a host.

    Raises PteError for parts for an NPU that the board does not have.
    """
    from mcu_sdk.planning.delegates import check_delegates
    from mcu_sdk.planning.fit import bytes_over
    from mcu_sdk.planning.plan import compile_plan
    from mcu_sdk.planning.pte.read import load_bytes, read_pte
    from mcu_sdk.planning.where import where
    from mcu_sdk.project.fitting import place_uncompiled

    program = read_pte(load_bytes(pte))
    plan = compile_plan(program)
    npu = check_delegates(program, board, None, chosen=None)
    if npu is not None:
        board = board.with_npu_memory()
    layout, sizes = place_uncompiled(board, plan, divided=npu is None)
    found = where(plan, layout, sizes)
    return {"board": board.name, "fits": not bytes_over(board, layout), **found} if found else None


def _npu(pte: Path, board: Board | None) -> list[dict[str, Any]]:
    """Our estimate of each delegate for an Ethos-U, in the board's system or, without one, in that of its default target;
    none where a stream is not understood."""
    from mcu_sdk.board.npu_target import default_target
    from mcu_sdk.board.target import choose_target
    from mcu_sdk.npu.blob import read_blob
    from mcu_sdk.planning.npu_streams import estimate_streams
    from mcu_sdk.planning.pte.read import load_bytes, read_pte

    data = load_bytes(pte)
    found: list[dict[str, Any]] = []
    for delegate in read_pte(data).all_delegates:
        name = delegate.accelerator
        if name:
            on_board = board is not None and name in board.targets
            target = choose_target(board, name) if on_board and board is not None else default_target(name)
            assert target is not None, "an accelerator is no processor"
            blob = read_blob(data[delegate.offset : delegate.offset + delegate.size])
            found += _npu_json(estimate_streams([blob.commands], target))
    return found


def _npu_json(streams: Iterable[StreamCycles]) -> list[dict[str, Any]]:
    names = ("name", "count", "cycles", "macs", "constant_bytes", "scratch_bytes")
    return [
        {
            "estimated": True,
            "accelerator": stream.accelerator,
            "system_config": stream.system_config,
            "memory_mode": stream.memory_mode,
            "cycles": stream.cycles,
            "mac_use": stream.mac_use,
            "operations": [dict(zip(names, row, strict=True)) for row in stream.by_name()],
        }
        for stream in streams
    ]


def _under_executorch(pte: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """Bytes that each method takes under ExecuTorch's runtime on a core of 32 bits; None for a file that is not compiled."""
    from dataclasses import asdict

    from mcu_sdk.planning.executorch_memory import memory_of
    from mcu_sdk.planning.pte.program import read_program
    from mcu_sdk.planning.pte.read import load_bytes, read_pte

    if facts["problem"] is not None:
        return None
    data = load_bytes(pte)
    found = memory_of(read_program(data).execution_plan, read_pte(data))
    return {name: asdict(memory) for name, memory in found.items()}


def describe(data: bytes) -> dict[str, Any]:
    """Everything that `inspect` shows, as plain data.

    Keys: bytes, hash, methods (name, computes, instructions, inputs, outputs), metadata, operators (name, count,
    kernel), delegates (method, id, bytes), constants (count, bytes), memory (method -> memory id -> bytes),
    mutable_buffers (name, type, shape, bytes), arena and kv_cache (bytes, None where it cannot be compiled),
    problem (None, or why it cannot be compiled) and notes. Sizes are in bytes. `inspect` adds npu (for each delegate of an
    Ethos-U our estimate: accelerator, system_config, memory_mode, cycles, mac_use, operations), where (board, fits,
    sections, constants), where there is a board, and executorch (method -> planned, method_allocator, temporary,
    temporary_used), where it is asked.
    """
    from hashlib import sha256

    from mcu_sdk.errors import UnsupportedOperatorError
    from mcu_sdk.planning.plan import compile_plan
    from mcu_sdk.planning.pte.program import read_program
    from mcu_sdk.planning.pte.read import is_constant_method, read_delegates, read_metadata, read_pte

    program = read_program(data)
    computing = [p for p in program.execution_plan if p.name == "forward" or not is_constant_method(p)]
    facts: dict[str, Any] = {
        "bytes": len(data),
        "hash": sha256(data).hexdigest(),
        "methods": [_method(plan, constant=plan not in computing) for plan in program.execution_plan],
        "metadata": {},
        "operators": _operators(computing),
        "delegates": [
            {"method": plan.name, "id": delegate.id, "bytes": delegate.size}
            for plan in computing
            for delegate in read_delegates(program, plan)
        ],
        "constants": _constants(program, computing),
        "memory": {p.name: dict(enumerate(p.non_const_buffer_sizes[1:], start=1)) for p in computing},
        "mutable_buffers": [],
        "arena": None,
        "kv_cache": None,
        "problem": None,
        "notes": [],
    }
    try:
        facts["metadata"] = read_metadata(program, data)
        pte = read_pte(data)
        facts["notes"] = list(pte.notes)
        facts["mutable_buffers"] = [
            {
                "name": buffer.name,
                "type": repr(buffer.tensor.dtype),
                "shape": list(buffer.tensor.shape),
                "bytes": buffer.tensor.nbytes,
            }
            for buffer in pte.mutable_buffers
        ]
        plan = compile_plan(pte)
        facts["arena"], facts["kv_cache"] = plan.arena_bytes, plan.kv_cache_bytes
    except UnsupportedOperatorError as error:
        facts["problem"] = str(error)
    return facts


def _method(plan: ExecutionPlan, constant: bool) -> dict[str, Any]:
    return {
        "name": plan.name,
        "computes": not constant,
        "instructions": sum(len(chain.instructions) for chain in plan.chains),
        "inputs": [_brief(_value(plan, index)) for index in plan.inputs],
        "outputs": [_brief(_value(plan, index)) for index in plan.outputs],
    }


def _value(plan: ExecutionPlan, index: int) -> RawValue:
    from mcu_sdk.planning.pte.flatbuffer import corrupt

    if not 0 <= index < len(plan.values):
        raise corrupt(f"value {index} of {len(plan.values)} is used")
    return plan.values[index]


def _brief(value: RawValue) -> str:
    from mcu_sdk.planning.pte.program import TensorValue
    from mcu_sdk.planning.pte.values import dtype_name

    if isinstance(value, TensorValue):
        return f"{dtype_name(value.scalar_type)}[{','.join(map(str, value.sizes))}]"
    return "none" if value is None else type(value).__name__


def _operators(plans: list[ExecutionPlan]) -> list[dict[str, Any]]:
    """Operators of the methods that compute something, the most frequent first."""
    from mcu_sdk.planning.pte.flatbuffer import corrupt
    from mcu_sdk.planning.pte.program import KernelCall
    from mcu_sdk.planning.pte.read import check_operator
    from mcu_sdk.planning.registry import load_emitters

    kernels = load_emitters()
    counts: Counter[tuple[str, str]] = Counter()
    for plan in plans:
        for chain in plan.chains:
            for instruction in chain.instructions:
                if not isinstance(instruction, KernelCall):
                    continue
                if not 0 <= instruction.op_index < len(plan.operators):
                    raise corrupt(f"operator {instruction.op_index} of {len(plan.operators)} is called")
                operator = plan.operators[instruction.op_index]
                check_operator(operator)
                counts[operator.name, operator.overload] += 1
    return [
        {"name": f"{name}.{overload}" if overload else name, "count": count, "kernel": name in kernels}
        for (name, overload), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _constants(program: Program, plans: list[ExecutionPlan]) -> dict[str, int]:
    """How many constants the methods read, and their bytes, each counted once."""
    from math import prod

    from mcu_sdk.planning.pte.program import TensorValue
    from mcu_sdk.planning.pte.values import DTYPES

    sizes: dict[int, int] = {}
    for plan in plans:
        for value in plan.values:
            if isinstance(value, TensorValue) and value.data_buffer_idx and value.allocation_info is None:
                dtype = DTYPES.get(value.scalar_type)
                size = prod(value.sizes) * (dtype.size if dtype else 1)
                sizes[value.data_buffer_idx] = max(size, sizes.get(value.data_buffer_idx, 0))
    return {"count": len(sizes), "bytes": sum(sizes.values())}


def _finite(value: Any) -> Any:
    """JSON has no infinities and no NaN: as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _print_tables(path: Path, facts: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    show = partial(_show, console)
    console.print(_cell(f"{path}: {facts['bytes']:,} bytes, sha256 {facts['hash']}"), soft_wrap=True)
    show(
        "Methods",
        ("method", "instructions", "inputs", "outputs"),
        [
            (m["name"], m["instructions"], " ".join(m["inputs"]), " ".join(m["outputs"]))
            for m in facts["methods"]
            if m["computes"]
        ],
    )
    show("Metadata", ("constant method", "value"), [(k, _cut(v)) for k, v in facts["metadata"].items()])
    show(
        "Operators",
        ("operator", "calls", "kernel"),
        [(o["name"], o["count"], "yes" if o["kernel"] else "none") for o in facts["operators"]],
    )
    show(
        "Delegates",
        ("method", "backend", "bytes"),
        [(d["method"], d["id"], d["bytes"]) for d in facts["delegates"]],
    )
    show("Memory", ("what", "bytes"), _memory_rows(facts))
    for delegate in facts["npu"]:
        title = (
            f"On the {delegate['accelerator']}, {delegate['system_config']}, {delegate['memory_mode']}: our estimate, no "
            f"measurement: {delegate['cycles']:,} cycles, {100 * delegate['mac_use']:.1f} % of the MACs used"
        )
        columns = ("operation", "count", "cycles", "MACs", "bytes of constants", "of the scratch")
        rows = [
            (each["name"].removeprefix("NPU_OP_"), *list(each.values())[1:])
            for each in delegate["operations"]
        ]
        show(title, columns, rows)
    _show_where(show, facts.get("where"))
    show("Under ExecuTorch's own runtime, on a core of 32 bits", ("what", "bytes"), _runtime_rows(facts))
    show(
        "Buffers that live from step to step",
        ("name", "type", "bytes"),
        [(b["name"], f"{b['type']}{b['shape']}", b["bytes"]) for b in facts["mutable_buffers"]],
    )
    for note in facts["notes"]:
        console.print(_cell(note), soft_wrap=True)
    verdict = facts["problem"] or "It can be compiled: every operator has a kernel."
    console.print(_cell(verdict), soft_wrap=True)


def _show_where(show: Callable[..., None], places: dict[str, Any] | None) -> None:
    if not places:
        return
    fits = "" if places["fits"] else ", which has no room for it"
    rows: list[tuple[object, ...]] = [
        (_TITLES[name], section["region"], "", section["bytes"], "")
        for name, section in places["sections"].items()
    ]
    rows += [
        (g["operator"], g["region"], g["constants"], g["bytes"], g["traffic"]) for g in places["constants"]
    ]
    columns = ("what", "region", "constants", "bytes", "read a step")
    show(f"Where it lies on {places['board']}{fits}", columns, rows)


_NUMBERS = {
    *("bytes", "read a step", "calls", "constants", "instructions"),
    *("count", "cycles", "MACs", "bytes of constants", "of the scratch"),
}
"""Columns."""

_TITLES = {"arena": "arena", "kv_cache": "KV cache", "tokenizer": "tokenizer"}


def _memory_rows(facts: dict[str, Any]) -> list[tuple[object, ...]]:
    constants = facts["constants"]
    rows: list[tuple[object, ...]] = [(f"{constants['count']} constants", constants["bytes"])]
    rows += [
        (f"planned memory {number} of {method}", size)
        for method, sizes in facts["memory"].items()
        for number, size in sizes.items()
    ]
    if facts["arena"] is not None:
        rows += [("arena on the device, with scratch", facts["arena"]), ("KV cache", facts["kv_cache"])]
    return rows


def _runtime_rows(facts: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        row
        for method, taken in (facts.get("executorch") or {}).items()
        for row in (
            *((f"planned memory {number} of {method}", size) for number, size in taken["planned"].items()),
            (f"method allocator of {method}", taken["method_allocator"]),
            (f"temporary memory of {method}", taken["temporary"]),
            (f"of it used by {method}", taken["temporary_used"]),
        )
    ]


def _show(console: Console, title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Print a table, unless it is empty."""
    from rich.table import Table

    if not rows:
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(f"{item:,}" if type(item) is int else item) for item in row))
    console.print(table)


def _cell(value: object) -> Text:
    """Text from the file: no markup, no control characters."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "?" for c in str(value)))


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
