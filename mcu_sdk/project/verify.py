"""Proving that a firmware computes what this computer computes: device against host, host against PyTorch.

Device and host must agree bit for bit (docs/verification.md). PyTorch runs the operators' Python references over
the same .pte, which tells a wrong plan or kernel from a right one that is only consistent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Unpack

from mcu_sdk.console import step
from mcu_sdk.errors import TextError, UsageError
from mcu_sdk.project.asked import Where
from mcu_sdk.project.heard import Heard
from mcu_sdk.project.opened import Project
from mcu_sdk.project.pair import Pair, built_pair
from mcu_sdk.project.runners import Device
from mcu_sdk.project.verdict import Check, Verdict
from mcu_sdk.project.verify_device import compare_transcripts, first_difference
from mcu_sdk.project.verify_python import Reference, compare_with_python
from mcu_sdk.targets.protocol import Request, Transcript


def verify(
    project: Project,
    request: Request,
    *,
    with_python: bool = True,
    checkpoint: Reference | None = None,
    **where: Unpack[Where],
) -> Verdict:
    """`verify_each` of one request."""
    (verdict,) = verify_each(project, [request], with_python=with_python, checkpoint=checkpoint, **where)
    return verdict


def verify_each(
    project: Project,
    requests: Sequence[Request],
    *,
    with_python: bool = True,
    checkpoint: Reference | None = None,
    **where: Unpack[Where],
) -> list[Verdict]:
    """Build the project for device and host, run each request on both, and compare; then compare with PyTorch.

    `checkpoint`: what gives the float outputs of the checkpoint that the project was made from.

    Raises what building and running raise, with the request's number where there are several; differences are not
    raised but told by the verdicts.
    """
    pair = built_pair(project, **where)
    verdicts = []
    for number, request in enumerate(requests, start=1):
        which = f" ({number} of {len(requests)})" if len(requests) > 1 else ""
        try:
            asked = Asking(request)
            on_device, on_host = pair.run(asked.ask, which)
        except (UsageError, TextError) as error:
            if not which:
                raise
            raise type(error)(
                f"Request {number} of {len(requests)}: {error.message}", hint=error.hint
            ) from error
        python = (checkpoint,) if with_python else ()
        checks = _compared(project, asked, on_device, on_host, pair, python, which)
        verdicts.append(Verdict(tuple(checks), on_device, on_host, pair.built))
    return verdicts


def verify_heard(
    project: Project,
    heard: Heard,
    *,
    with_python: bool = True,
    checkpoint: Reference | None = None,
    **where: Unpack[Where],
) -> Verdict:
    """The same of one answer about what an encoder takes."""
    pair = built_pair(project, **where)
    asked = Asking(heard.request, heard)
    on_device, on_host = pair.run(asked.ask)
    python = (checkpoint,) if with_python else ()
    checks = _compared(project, asked, on_device, on_host, pair, python)
    return Verdict(tuple(checks), on_device, on_host, pair.built)


@dataclass(frozen=True)
class Asking:
    """A request; `heard`: what it is about, of a language model whose encoder takes tensors."""

    request: Request
    heard: Heard | None = None

    def ask(self, device: Device, request: Request | None = None) -> Transcript:
        """What the device answers to it, or to another one about the same."""
        wanted = self.request if request is None else request
        return device(wanted) if self.heard is None else self.heard.ask(device, wanted)


def _compared(
    project: Project,
    asked: Asking,
    on_device: Transcript,
    on_host: Transcript,
    pair: Pair,
    python: tuple[Reference | None, ...],
    which: str = "",
) -> list[Check]:
    """The checks of one request. `python`: what gives the checkpoint's outputs, or nothing to compare with PyTorch at all."""
    checks = [compare_transcripts(on_device, on_host)]
    if not checks[0].ok:
        with step("Looking for the first step that differs"):
            longest = project.manifest.model.max_sequence_length
            run_device, run_host = (partial(asked.ask, device) for device in (pair.device, pair.host))
            first = first_difference(asked.request, on_host, run_device, run_host, longest)
        checks[0] = replace(checks[0], detail=f"{checks[0].detail}; {first}")
    for checkpoint in python:
        with step(f"Running the .pte in PyTorch{which}"):
            checks += compare_with_python(
                project, asked.request, on_host, pair.library, checkpoint, asked.heard
            )
    return checks
