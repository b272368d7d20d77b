"""Proving that a firmware reads texts as this computer does: its tokens, its outputs, PyTorch (docs/verification.md)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from mcu_sdk.console import step
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.asked import Where
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.pair import built_pair
from mcu_sdk.project.texts import Asked, Reader
from mcu_sdk.project.verdict import Check, Verdict
from mcu_sdk.project.verify_device import compare_transcripts
from mcu_sdk.project.verify_python import Reference, compare_outputs, compare_with_checkpoint, tosa_delegates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device
    from mcu_sdk.targets.protocol import Transcript

TOKENS = "device's tokens = the tokenizers library's"


def verify_each_text(
    project: Project,
    reader: Reader,
    texts: Sequence[Asked],
    *,
    with_python: bool = True,
    checkpoint: Reference | None = None,
    **where: Unpack[Where],
) -> list[Verdict]:
    """Build the project for device and host, give each text to both, and compare; then compare with PyTorch.

    `checkpoint`: as `verify_each` takes it. Raises what building and running raise; differences are told by the verdicts.
    """
    pair = built_pair(project, **where)
    verdicts = []
    for number, asked in enumerate(texts, start=1):
        which = f" ({number} of {len(texts)})" if len(texts) > 1 else ""
        on_device, on_host = pair.run(partial(_ask, asked), which)
        checks = [compare_transcripts(on_device, on_host), _compare_tokens(on_device, asked)]
        if with_python:
            with step(f"Running the .pte in PyTorch{which}"):
                checks += _compare_with_python(project, reader, asked, on_host, pair.library, checkpoint)
        verdicts.append(Verdict(tuple(checks), on_device, on_host, pair.built))
    return verdicts


def _ask(asked: Asked, device: Device) -> Transcript:
    return device(asked.sent)


def _compare_tokens(device: Transcript, asked: Asked) -> Check:
    ids = asked.encoded.ids
    same = device.prompt_ids == ids
    cut = f", {asked.encoded.dropped} more cut off" if asked.encoded.dropped else ""
    place = next(
        (i for i, pair in enumerate(zip(device.prompt_ids, ids, strict=False)) if pair[0] != pair[1]), None
    )
    wrong = f"{len(device.prompt_ids)} and {len(ids)} tokens, the first that differs at {place}"
    return Check(TOKENS, same, f"{len(ids)} tokens{cut}" if same else wrong)


def _compare_with_python(
    project: Project,
    reader: Reader,
    asked: Asked,
    on_host: Transcript,
    library: Path,
    reference: Reference | None,
) -> list[Check]:
    """The host's library, model.pte in PyTorch and the checkpoint on the inputs that the `tokenizers` library makes of the
    text; the library's digest has to be the program's, which encoded the text itself."""
    from mcu_sdk.project.interpret import Interpreter

    arrays = reader.arrays(asked)
    model = HostModel(library, project.accelerator)
    model.reset()
    ours = model.run([array.ravel() for array in arrays])
    checks = []
    digest = f"{model.digest(ours):016x}"
    if digest != on_host.digest:
        found = f"the library's digest is {digest}, the program's {on_host.digest}"
        checks.append(Check("host library = host program", False, found))
    pte = read_pte((project.folder / "model" / "model.pte").read_bytes())
    interpreter = Interpreter(pte, tosa_delegates(project.folder, len(pte.delegates)))
    theirs = _in_python(interpreter, arrays)
    checks.append(compare_outputs([output.ravel() for output in ours], theirs, len(ours)))
    accuracy = project.accuracy()
    right = reference.outputs([arrays]) if reference is not None else None
    if right is not None and accuracy is not None:
        checks.append(compare_with_checkpoint(theirs, right[0], accuracy.relative_rms_error))
    return checks


def _in_python(interpreter: Any, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Flat copies of the outputs."""
    import torch

    tensors = [torch.from_numpy(array.copy()) for array in arrays]
    return [output.contiguous().flatten().numpy().copy() for output in interpreter.run(*tensors)]
