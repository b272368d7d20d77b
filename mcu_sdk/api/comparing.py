"""Projects side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mcu_sdk.api.given import opened_of
from mcu_sdk.api.results import report_of
from mcu_sdk.console import step
from mcu_sdk.errors import ToolMissingError, UsageError
from mcu_sdk.project import build as building
from mcu_sdk.project.compare import Compared
from mcu_sdk.project.opened import Project
from mcu_sdk.project.runners import built_device, choose_simulator
from mcu_sdk.targets.process import DEFAULT_TIMEOUT


def compare(
    projects: Sequence[str | Path | Project],
    *,
    titles: Sequence[str] = (),
    tokens: int = 8,
    simulator: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> list[Compared]:
    """Build each project, run it where there is a simulator for it, and put what is known of them side by side.

    A language model makes `tokens` tokens from its start token, so that the instructions of the last step are those of
    the same position; a model of tensors one step on made-up inputs. `titles`: what each is called; its folder's name.
    """
    found = []
    for number, project in enumerate(projects):
        opened = opened_of(project, None)
        longest = opened.manifest.model.max_sequence_length
        request = (
            replace(opened.request(tokens=0), tokens=min(tokens, longest))
            if opened.is_language_model
            else opened.request(steps=1)
        )
        try:
            target = choose_simulator(opened, simulator)
        except UsageError:
            if simulator is not None:
                raise
            target = ""
        transcript, note = None, "" if target else "no simulator"
        if target:
            running = built_device(opened, simulator=target, timeout=timeout)
            built = running.built
            try:
                with step(f"Running on {target}"):
                    transcript = running.device(replace(request, past_end=True))
            except ToolMissingError as error:
                note = error.message
        else:
            built = building.build(opened.folder, opened.preset_for(target))
        title = titles[number] if titles else opened.folder.resolve().name
        found.append(Compared(title, report_of(opened, built, transcript, target), note))
    return found
