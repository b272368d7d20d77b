"""Where a decoder computes one token beside an NPU: as it was asked, or where the fewest cycles are estimated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from mcu_sdk.board.npu_target import StepForm
from mcu_sdk.errors import ModelError
from mcu_sdk.planning.step_cycles import PER_IDEAL, PER_IDEAL_ATTENTION, StepCycles

FORMS: dict[StepForm, str] = {
    "cpu": "on the processor alone",
    "linears": "linears on the NPU",
    "npu": "in one delegate on the NPU",
}
"""In words, in the order in which they are tried; of two with as many cycles the first is taken."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class StepChoice:
    """The form that a project's step has. `asked`: what decided, "auto" or the form itself; `target`: the NPU beside it;
    `position`: of the cache that is estimated for; `estimates` by form, None where the streams are not understood;
    `left_out`: why another form was not tried."""

    form: StepForm
    asked: str
    target: str
    position: int
    estimates: Mapping[StepForm, StepCycles | None]
    left_out: Mapping[StepForm, str] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of the report's lines."""
        why = "the fewest cycles by estimate" if self.asked == "auto" else f"as asked (--decode {self.asked})"
        if self.asked == "auto" and len(self.estimates) == 1:
            why = "nothing else can be"
        rows = [("one token", f"{FORMS[self.form]}: {why}; the NPU is {self.target}")]
        for form, words in FORMS.items():
            if form in self.estimates:
                rows.append((f"  {words}", self._told(form)))
            elif form in self.left_out:
                rows.append((f"  {words}", f"not tried: {self.left_out[form]}"))
        if self.asked != "auto":
            rows.append(("  other forms", "not estimated; --decode auto does"))
        told = [
            f"at position {self.position}; {PER_IDEAL:g} instructions for one of the operators' bound, of attention {PER_IDEAL_ATTENTION:g}, a cycle each"
        ]
        for form, step in self.estimates.items():
            if step is not None and form == "cpu":
                told.append(f"weights to the processor: {step.supply}")
            elif step is not None and step.npu_supply:
                told.append(f"to the NPU: {step.npu_supply}")
        return [*rows, ("  estimated", f"no measurements; {'; '.join(dict.fromkeys(told))}")]

    def _told(self, form: StepForm) -> str:
        step = self.estimates[form]
        if step is None:
            return "not known: the simulator does not know all of its command streams"
        parts = [
            f"{step.instructions:,} instructions",
            f"{step.waiting:,} waiting for {step.weight_bytes:,} bytes of weights",
        ]
        if step.delegates:
            calls = "the NPU" if step.delegates == 1 else f"the NPU in {step.delegates} delegates"
            parts.append(f"{step.npu:,} of {calls}")
        return f"{step.cycles:,} cycles: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "form": self.form,
            "asked": self.asked,
            "target": self.target,
            "position": self.position,
            "estimates": {form: step and step.to_json() for form, step in self.estimates.items()},
            "left_out": dict(self.left_out),
        }


def choice_from_json(data: Any) -> StepChoice | None:
    """What `to_json` wrote; None for anything else."""
    try:
        estimates = {
            form: None if step is None else StepCycles.from_json(step)
            for form, step in data["estimates"].items()
        }
        found = StepChoice(**{**data, "estimates": estimates})
        known = {found.form, *estimates, *found.left_out} <= set(get_args(StepForm))
        texts = [found.asked, found.target, *found.left_out.values()]
        sound = known and found.form in estimates and type(found.position) is int
        return (
            found
            if sound and all(isinstance(text, str) for text in texts) and found.to_json() == data
            else None
        )
    except (TypeError, KeyError, AttributeError, ValueError):
        return None


def fewest_cycles(
    attempt: Callable[[StepForm], tuple[Made, StepCycles | None]], left_out: Mapping[StepForm, str]
) -> tuple[StepForm, Made, dict[StepForm, StepCycles | None], dict[StepForm, str]]:
    """The form with the fewest cycles, what `attempt` made of it, every form's estimate, and why others were not tried.

    `left_out`: forms that are not to be tried, and why. A form that no estimate is known of is not taken where
    one is known of another; neither is one that `attempt` refuses with a ModelError, but for the processor's, which is raised.
    """
    best: tuple[StepForm, Made, float] | None = None  # the others are let go of
    estimates: dict[StepForm, StepCycles | None] = {}
    reasons = dict(left_out)
    for form in FORMS:
        if form in reasons:
            continue
        try:
            made, step = attempt(form)
        except ModelError as error:
            if form == "cpu":
                raise
            reasons[form] = error.message
            continue
        estimates[form] = step
        cycles = math.inf if step is None else step.cycles
        if best is None or cycles < best[2]:
            best = form, made, cycles
    assert best is not None, "the processor's was made"
    return best[0], best[1], estimates, reasons
