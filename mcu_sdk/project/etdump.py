"""A profile as an ETDump, which ExecuTorch's Inspector reads beside the ETRecord of the .pte."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.errors import UsageError

if TYPE_CHECKING:
    from mcu_sdk.planning.plan import Plan

VERSION = 0
"""Of the schema, as ExecuTorch's runtime writes it (devtools/etdump/etdump_flatcc.cpp)."""

SCHEMAS = ("etdump_schema_flatcc.fbs", "scalar_type.fbs")


def etdump_of(plan: Plan, counts: Sequence[int]) -> bytes:
    """One run of a step: an event for the step, and one for each instruction of the .pte that took any, by its number in the
    file, from the first to the last. Times are instructions of the processor since the step began. `counts`: those of each
    of the plan's calls."""
    from executorch.devtools.etdump.schema_flatcc import ETDumpFlatCC, Event, ProfileEvent, RunData

    def event(name: str, instruction: int, begin: int, end: int) -> Event:
        told = ProfileEvent(name, 0, instruction, -1, None, None, begin, end)
        return Event(profile_event=told, allocation_event=None, debug_event=None)

    taken: Counter[int] = Counter()
    names = {}
    for planned, count in zip(plan.calls, counts, strict=True):
        taken[planned.instruction.index] += count
        names[planned.instruction.index] = planned.instruction.full_name
    events, now = [event("Method::execute", -1, 0, taken.total())], 0
    for index in sorted(taken):
        events.append(event(f"native_call_{names[index].partition('::')[2]}", index, now, now + taken[index]))
        now += taken[index]
    run = RunData(name="Execute", bundled_input_index=-1, allocators=[], events=events)
    return _serialized(ETDumpFlatCC(version=VERSION, run_data=[run]))


def _serialized(dump: object) -> bytes:
    """As the runtime writes it, behind its size: ExecuTorch's own function for files writes none, and its Inspector asks for it."""
    import executorch.devtools.etdump
    from executorch.devtools.etdump.serialize import _serialize_from_etdump_to_json
    from executorch.exir._serialize._flatbuffer import _run_flatc

    package = Path(next(iter(executorch.devtools.etdump.__path__)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for schema in SCHEMAS:
            (folder / schema).write_bytes((package / schema).read_bytes())
        (folder / "dump.json").write_text(_serialize_from_etdump_to_json(dump), encoding="ascii")
        _run_flatc(
            ["--binary", "--size-prefixed", "-o", name, str(folder / SCHEMAS[0]), str(folder / "dump.json")]
        )
        (written,) = folder.glob("dump.etdp")
        return written.read_bytes()


def check_place(path: Path) -> None:
    """Raises UsageError for a place where no file can be written."""
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(
            f"--etdump takes a file to write, in a folder that is there; {path} is none.",
            hint="Give another place, such as profile.etdp.",
        )
