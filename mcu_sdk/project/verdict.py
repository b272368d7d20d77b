"""What a comparison found, and what it takes to hold."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.errors import OutputDiffersError
from mcu_sdk.project.build import BuildResult
from mcu_sdk.targets.protocol import Transcript


@dataclass(frozen=True)
class Check:
    """One comparison: what was compared, whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What was compared, on which run. `built` is the device's build."""

    checks: tuple[Check, ...]
    device: Transcript
    host: Transcript
    built: BuildResult | None

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def summary(self) -> str:
        """One line."""
        if self.ok:
            return "ok: " + ", ".join(check.name for check in self.checks)
        return "DIFFERS: " + "; ".join(
            f"{check.name}: {check.detail}" for check in self.checks if not check.ok
        )

    def require(self) -> None:
        """Raises OutputDiffersError, naming the first step that differs, if a check does not hold."""
        if not self.ok:
            raise OutputDiffersError(
                f"The outputs differ: {self.summary.removeprefix('DIFFERS: ')}.",
                hint="Build again from a clean folder; if it stays, compare the values at that step "
                "(docs/verification.md says how).",
            )
