"""What `generate` found when it compared each step with the checkpoint, read from model/report.json: rows and a warning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcu_sdk.json_file import object_or_nothing


@dataclass(frozen=True)
class Accuracy:
    """The quantized model against the checkpoint, in float. `poor`: whether a user is to be warned; `layers`: modules whose own error is largest, with it.

    `steps`: {"exported", "fused" or "portable": the greatest difference of the float steps, as a share of the greatest output}.
    `checkpoint`: the fingerprint of the checkpoint's folder, None for a module or a foreign .pte. `npu_costs`: of a decoder
    with parts on an NPU, "relative_rms_error" and "top1_agreement" against the same on the processor alone.
    """

    relative_rms_error: float
    top1_agreement: float | None = None
    mean_kl_divergence: float | None = None
    poor: bool = False
    layers: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    checkpoint: str | None = None
    npu_costs: dict[str, float] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of the report's lines."""
        text = f"{self.relative_rms_error:.3g} of the outputs (RMS)"
        if self.top1_agreement is not None:
            text += f", {100 * self.top1_agreement:.4g} % of choices alike"
        if self.mean_kl_divergence is not None:
            text += f", KL {self.mean_kl_divergence:.3g}"
        rows = [("quantization costs", text)]
        if "relative_rms_error" in self.npu_costs:
            text = f"{self.npu_costs['relative_rms_error']:.3g} of the processor's logits (RMS)"
            if "top1_agreement" in self.npu_costs:
                text += f", {100 * self.npu_costs['top1_agreement']:.4g} % of choices alike"
            rows.append(("of it the NPU", text))
        if self.steps:
            rows.append(("float steps within", f"{max(self.steps.values()):.1e} of the original"))
        return rows

    @property
    def warning(self) -> str | None:
        """What a user is told where quantization costs much."""
        if not self.poor:
            return None
        text = f"warning: quantization costs {self.rows()[0][1]}"
        if self.layers:
            text += "; most of it in " + ", ".join(
                f"{name} ({error:.2g})" for name, error in self.layers.items()
            )
        return text + "."


def accuracy_of(facts: Mapping[str, Any]) -> Accuracy | None:
    """The part of a recipe's facts that is about accuracy; None where there is none, or what is there is not ours."""
    measured, guard = facts.get("accuracy"), facts.get("guard")
    if not isinstance(measured, Mapping) or not isinstance(measured.get("relative_rms_error"), (int, float)):
        return None
    steps = (
        {name: guard[name] for name in ("exported", "fused", "portable") if name in guard}
        if isinstance(guard, Mapping)
        else {}
    )
    names = ("relative_rms_error", "top1_agreement", "mean_kl_divergence", "poor", "layers")
    known = {name: measured[name] for name in names if name in measured}
    costs = facts.get("npu_costs")
    npu = {
        name: float(value)
        for name, value in (costs.items() if isinstance(costs, Mapping) else ())
        if name in names[:2] and isinstance(value, (int, float))
    }
    return Accuracy(**known, steps=steps, checkpoint=facts.get("checkpoint"), npu_costs=npu)


def read_facts(folder: Path) -> Mapping[str, Any]:
    """What `generate` wrote into report.json of a project's model folder; nothing where there is none of it."""
    return object_or_nothing(folder / "report.json")
