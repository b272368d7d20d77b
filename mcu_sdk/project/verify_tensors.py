"""Proving that a firmware computes on a host's own inputs what this computer computes: device, host, PyTorch.

Beside the digest over all outputs the outputs themselves are compared, so that the first step that differs is known at
once (docs/verification.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from mcu_sdk.console import step
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.asked import Where
from mcu_sdk.project.pair import built_pair
from mcu_sdk.project.tensors import Borders, Inputs, TensorRun, run_series, with_one_nan
from mcu_sdk.project.verdict import Check, Verdict
from mcu_sdk.project.verify_device import compare_transcripts
from mcu_sdk.project.verify_python import Reference, compare_outputs, compare_with_checkpoint, tosa_delegates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.opened import Project


def verify_series(
    project: Project,
    borders: Borders,
    inputs: Inputs,
    *,
    with_python: bool = True,
    checkpoint: Reference | None = None,
    **where: Unpack[Where],
) -> tuple[Verdict, TensorRun]:
    """Build the project for device and host, run both on the inputs, and compare; then compare with PyTorch.

    `checkpoint`: as `verify_each` takes it. The device's outputs come with the verdict. Raises what building and running
    raise; differences are told by the verdict.
    """
    pair = built_pair(project, **where)
    on_device, on_host = pair.run(lambda device: run_series(device, borders, inputs))
    checks = [_compare(on_device, on_host)]
    if with_python:
        with step("Running the .pte in PyTorch"):
            theirs = _in_python(project.folder, inputs)
        ours = [output.ravel() for outputs in on_host.outputs for output in outputs]
        checks.append(compare_outputs(ours, theirs, len(borders.outputs)))
        accuracy = project.accuracy()
        right = checkpoint.outputs(inputs.steps) if checkpoint is not None else None
        if right is not None and accuracy is not None:
            flat = [output for outputs in right for output in outputs]
            checks.append(compare_with_checkpoint(theirs, flat, accuracy.relative_rms_error))
    return Verdict(tuple(checks), on_device.transcript, on_host.transcript, pair.built), on_device


def _compare(device: TensorRun, host: TensorRun) -> Check:
    """Model and digest, and the bytes of every output, one NaN for all."""
    check = compare_transcripts(device.transcript, host.transcript)
    for number, (left, right) in enumerate(zip(device.outputs, host.outputs, strict=True), start=1):
        wrong = [
            i
            for i, (a, b) in enumerate(zip(left, right, strict=True))
            if with_one_nan(a).tobytes() != with_one_nan(b).tobytes()
        ]
        if wrong:
            found = f"the first step that differs is step {number} of {len(host.outputs)} (output {wrong[0]})"
            detail = found if check.ok else f"{check.detail}; {found}"
            return Check(check.name, False, detail)
    return check


def _in_python(folder: Path, inputs: Inputs) -> list[NDArray[Any]]:
    """Flat copies of each step's outputs, by the operators' Python references."""
    import torch

    from mcu_sdk.project.interpret import Interpreter

    pte = read_pte((folder / "model" / "model.pte").read_bytes())
    interpreter = Interpreter(pte, tosa_delegates(folder, len(pte.delegates)))
    outputs = []
    for arrays in inputs.steps:
        tensors = [torch.from_numpy(array.copy()) for array in arrays]
        outputs += [output.contiguous().flatten().numpy() for output in interpreter.run(*tensors)]
    return outputs
