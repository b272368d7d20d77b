"""An ETRecord: the graph that a .pte was written from, for ExecuTorch's Inspector and what else reads these.

The runtime's events, and those of `run --profile --etdump`, say the number of an instruction. The record says which call of
the graph that is, by a debug handle, and the graph from which module the call comes.
"""

from __future__ import annotations

import copy
import io
import zipfile
from typing import TYPE_CHECKING

from torch.fx import Node

from mcu_sdk.lowering.module_path import module_path

if TYPE_CHECKING:
    from executorch.exir import ExecutorchProgramManager
    from torch.export import ExportedProgram

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The date of what lies in the record: the earliest that a ZIP file can say, so that the same record has the same bytes."""


ROOT = "model"
"""What the whole is called among the modules."""


def number_calls(program: ExportedProgram) -> ExportedProgram:
    """Give each call of an edge program a debug handle of its own, from 1, and where it has no module, that of the call it is
    made for: passes put in calls that have neither. To be called behind the last pass over the program.

    Returns the program as it is now, on the same weights: what writes the .pte changes it, handles and all.
    """
    number = 0
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        number += 1
        node.meta["debug_handle"] = number
        if not module_path(node) and (stack := _stack_near(node)):
            node.meta["nn_module_stack"] = stack
    values = [*program.state_dict.values(), *program.constants.values()]
    kept: ExportedProgram = copy.deepcopy(program, {id(value): value for value in values})
    for node in kept.graph.nodes:
        node.meta.pop("from_node", None)  # of no use without the graphs of the passes in between
        if stack := node.meta.get("nn_module_stack"):  # its keys are what an Inspector knows a module by
            node.meta["nn_module_stack"] = {path or ROOT: (path, kind) for path, kind in stack.values()}
    return kept


def _stack_near(node: Node) -> object:
    """The modules of the nearest call that has some, among those that read a value, and those that read theirs."""
    seen, waiting = {node}, [node]
    for each in waiting:  # which grows
        if module_path(each):
            return each.meta["nn_module_stack"]
        waiting += [user for user in each.users if user not in seen]
        seen.update(each.users)
    return None


def record_of(program: ExportedProgram, lowered: ExecutorchProgramManager) -> bytes:
    """The ETRecord of a method "forward", weights and all, as `number_calls` returned it, and of the .pte that was made of it."""
    from executorch.devtools.etrecord._etrecord import ETRecord

    record = ETRecord(edge_dialect_program=program)
    record.add_executorch_program(lowered)
    written = io.BytesIO()
    record.save(written)
    return _undated(written)


def _undated(archive: io.BytesIO) -> bytes:
    """The same ZIP file without the day on which it was written."""
    result = io.BytesIO()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(result, "w") as target:
        for entry in source.infolist():
            target.writestr(zipfile.ZipInfo(entry.filename, FIRST_DAY), source.read(entry))
    return result.getvalue()
