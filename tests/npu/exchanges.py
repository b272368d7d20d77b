"""What goes in and out of a project's delegate while its firmware runs in QEMU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcu_sdk.npu.blob import VelaBlob, read_blob
from mcu_sdk.npu.reference import TosaDelegate
from mcu_sdk.npu.registers import Run
from mcu_sdk.planning.instruction import Instruction, Tensor
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.opened import Project
from mcu_sdk.project.runners import run_on
from mcu_sdk.targets.protocol import Request, Transcript

QEMU_U85 = (str(Path(__file__).parents[2] / "examples" / "boards" / "an547-u85"), "ethos-u85-256")
"""What QEMU can show of a Corstone-320: no machine of it has a U85, nor a Cortex-M85."""

Exchange = tuple[list[bytes], list[bytes]]
"""A delegate's inputs and outputs."""


@dataclass(frozen=True)
class Recorded:
    """A run in QEMU, and what went in and out of the delegate each time."""

    transcript: Transcript
    exchanges: list[Exchange]


def delegate_calls(project: Project) -> list[Instruction]:
    pte = read_pte((project.folder / "model/model.pte").read_bytes())
    return [i for i in pte.instructions if i.operator == "delegate::EthosUBackend"]


def blob_of(project: Project) -> VelaBlob:
    """Its first delegate's."""
    call = delegate_calls(project)[0].arguments[0]
    assert isinstance(call, Tensor) and call.data is not None
    return read_blob(bytes(call.data))


def record(project: Project, request: Request) -> Recorded:
    """Build the project for QEMU, run it there, and write down what its one delegate is given and gives."""
    blob = blob_of(project)
    exchanges: list[Exchange] = []

    def observe(run: Run) -> Callable[[], None]:
        scratch = run.regions[1]
        assert scratch is not None
        before = [scratch[t.offset :][: t.size_bytes].tobytes() for t in blob.inputs]

        def finish() -> None:
            exchanges.append((before, [scratch[t.offset :][: t.size_bytes].tobytes() for t in blob.outputs]))

        return finish

    program = build(project.folder, project.preset_for("qemu")).program
    return Recorded(run_on("qemu", project, program, request, observer=observe), exchanges)


def different_from_tosa(project: Project, recorded: Recorded) -> list[int]:
    """The runs in which the delegate gave something else than the TOSA graph that it was compiled from."""
    graph = TosaDelegate((project.folder / "model/delegate_0.tosa").read_bytes())
    return [run for run, (given, made) in enumerate(recorded.exchanges) if graph.run(given) != made]
