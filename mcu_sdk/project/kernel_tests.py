"""Each kernel of a project's plan on its target: what a firmware that tests them at boot says of them."""

from __future__ import annotations

from contextlib import closing

from mcu_sdk.project.findings import Row
from mcu_sdk.project.opened import Project
from mcu_sdk.project.runners import Device
from mcu_sdk.project.self_test import known_kernels
from mcu_sdk.targets.protocol import Request, Transcript
from mcu_sdk.targets.verdict import check_verdict


def kernel_rows(project: Project, device: Device) -> list[Row]:
    """A row for each known answer of the project's self-test, whose firmware `device` runs: asked for as little as there
    is, since it has tested its kernels before. Errors as `device` raises them, for anything but a broken kernel."""
    shortest = project.request(tokens=1) if project.is_language_model else project.request(steps=1)
    return rows_of(known_kernels(project.folder), _answer(device, shortest))


def _answer(device: Device, request: Request) -> Transcript:
    with closing(device.each([request])) as answers:
        found = next(answers)
    return found if found.facts.get("reason") == "self_test_failed" else check_verdict(found, device.name)


def rows_of(kernels: list[str], answer: Transcript) -> list[Row]:
    """A row for each of `kernels`, as the answer of a firmware that has tested them tells it; and one more, failed, where
    it is not clear that it has tested these."""
    if not kernels:
        return [Row("kernels", "skipped", "none has an answer that is known: nothing runs on the processor")]
    tested, wrong = answer.number("self_tested"), answer.number("self_test_wrong") or 0
    broken = [name for name in answer.facts.get("kernel", "").split(",") if name]
    rows = [
        Row(f"kernel {name}", "failed", "does not give the answer of its Python reference")
        if name in broken
        else Row(f"kernel {name}", "ok", "gives the answer of its Python reference")
        for name in kernels
    ]
    if tested != len(kernels):
        found = "does not say how many kernels it tested" if tested is None else f"tested {tested}"
        rows.append(Row("kernels", "failed", f"the firmware {found}, and {len(kernels)} answers are known"))
    elif wrong != sum(row.status == "failed" for row in rows):
        rows.append(Row("kernels", "failed", f"{wrong} are broken, of which not all were named"))
    return rows
