"""What is kept of a delegate beside the .pte: the graph it was made from and Vela's estimates. No torch here."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mcu_sdk.npu.vela import VelaSummary


@dataclass(frozen=True)
class DelegateArtifact:
    """`tosa`: the TOSA flatbuffer that Vela compiled, the specification of the delegate's bits."""

    name: str
    tosa: bytes
    vela_summary: VelaSummary

    def files(self) -> dict[str, bytes]:
        """The artifact as files for a cache: <name>.tosa and <name>.json."""
        summary = json.dumps(self.vela_summary.to_json(), sort_keys=True).encode()
        return {f"{self.name}.tosa": self.tosa, f"{self.name}.json": summary}

    @staticmethod
    def file_names(name: str) -> tuple[str, ...]:
        """The names that `files` gives."""
        return f"{name}.tosa", f"{name}.json"

    @staticmethod
    def from_files(name: str, files: dict[str, bytes]) -> DelegateArtifact:
        """The inverse of `files`."""
        summary = VelaSummary.from_json(json.loads(files[f"{name}.json"]))
        return DelegateArtifact(name, files[f"{name}.tosa"], summary)
