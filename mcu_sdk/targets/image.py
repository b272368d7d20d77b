"""Which image a firmware runs, by its own word, and whether it is the project's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcu_sdk.errors import OtherImageError

_SHOWN = 12


@dataclass(frozen=True)
class Image:
    """`model`: the SHA-256 of the .pte; `build`: the GNU build id, 40 hexadecimal digits. `program`: the file's name."""

    model: str
    build: str
    program: str = "the project's program"

    def check(self, said: Mapping[str, str], name: str) -> None:
        """Raises OtherImageError if `said`, the facts of a line `@mcu ready=1 model=... build=...`, are another's."""
        model, build = said.get("model"), said.get("build")
        if (model, build) == (self.model, self.build):
            return
        expected = f"{name} was expected to run {self.program} (model {self.model[:_SHOWN]}, build {self.build[:_SHOWN]})"
        if model is None or build is None:
            raise OtherImageError(
                f"{expected}; its firmware does not say which model and build it is.",
                hint="It was made by an earlier mcu-sdk, or is no firmware of its. Flash the project's program.",
            )
        found = f"its firmware has model {model[:_SHOWN]}, build {build[:_SHOWN]}"
        if model != self.model:
            raise OtherImageError(
                f"{expected}; {found}: another model.",
                hint="Flash the project's program, or name its project.",
            )
        raise OtherImageError(
            f"{expected}; {found}: the same model, built from other sources or with another preset.",
            hint="Flash the project's program: it was built just now.",
        )
