"""What Vela says of a delegate it compiled: estimates by layer and the memory it takes, read from its CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar


@dataclass(frozen=True)
class LayerEstimate:
    """One operation of the command stream as Vela's performance model sees it: estimates, not measurements.

    `name` is the tensor it writes; `cycles` the greatest of what the NPU and its memories need; `memory_bytes` the
    SRAM in use while it runs. `commands`: the words of the command stream that start its parts; none for what another
    layer does, too.
    """

    name: str
    operator: str
    npu_operator: str
    cycles: int
    macs: int
    memory_bytes: int
    commands: tuple[int, ...] = ()


@dataclass(frozen=True)
class VelaSummary:
    """Vela's estimates for one delegate. Bytes, cycles of the NPU's clock, MACs for one invocation."""

    accelerator: str
    system_config: str
    memory_mode: str
    estimated: bool
    core_clock_hz: float
    cycles: int
    macs: int
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    weight_bytes: int
    encoded_weight_bytes: int
    layers: tuple[LayerEstimate, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the cache and the report."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> VelaSummary:
        """The inverse of `to_json`. Raises KeyError or TypeError for what it did not write."""
        layers = tuple(
            _checked(LayerEstimate(**{**layer, "commands": tuple(layer.get("commands", ()))}))
            for layer in data["layers"]
        )
        return _checked(VelaSummary(**{**data, "layers": layers}))


_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}

Estimate = TypeVar("Estimate", LayerEstimate, VelaSummary)


def _checked(estimate: Estimate) -> Estimate:
    """Raises TypeError where a field is not of its type."""
    for entry in fields(estimate):
        value = getattr(estimate, entry.name)
        if type(value) not in _KINDS.get(str(entry.type), (type(value),)):
            raise TypeError(f"{entry.name} is {value!r}")
        if entry.name == "commands" and not all(type(word) is int for word in value):
            raise TypeError(f"commands are {value!r}")
    return estimate


def read_summary(folder: Path) -> VelaSummary:
    """Read `*_summary_*.csv`, `*_per-layer.csv` and `*_debug.xml` from Vela's output folder.

    Raises FileNotFoundError when one is missing, KeyError when a column or table is: another version of Vela.
    """
    layers = _rows(_only(folder, "*_per-layer.csv"))
    started = _commands(_only(folder, "*_debug.xml"))
    row = _rows(_only(folder, "*_summary_*.csv"))[0]
    kibibytes = {kind: float(row[f"{kind}_memory_used"]) for kind in _MEMORIES}
    return VelaSummary(
        accelerator=row["accelerator_configuration"],
        system_config=row["system_config"],
        memory_mode=row["memory_mode"],
        estimated=True,
        core_clock_hz=float(row["core_clock"]),
        cycles=round(float(row["cycles_total"])),
        macs=round(float(row["nn_macs"])),
        sram_bytes=round(kibibytes["sram"] * 1024),
        dram_bytes=round(kibibytes["dram"] * 1024),
        flash_bytes=round((kibibytes["on_chip_flash"] + kibibytes["off_chip_flash"]) * 1024),
        weight_bytes=round(float(row["total_original_weights"])),
        encoded_weight_bytes=round(float(row["total_npu_encoded_weights"])),
        layers=tuple(_layer(layer, words) for layer, words in zip(layers, started, strict=True)),
    )


_MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")


def _layer(row: Mapping[str, str], commands: tuple[int, ...]) -> LayerEstimate:
    return LayerEstimate(
        name=row["Name"],
        operator=row["Original Operator"],
        npu_operator=row["NNG Operator"],
        cycles=round(float(row["Op Cycles"])),
        macs=round(float(row["MAC Count"])),
        memory_bytes=round(float(row["Staging Usage"])),
        commands=commands,
    )


_TABLE = re.compile(r'<table name="(\w+)">\s*<!\[CDATA\[(.*?)\]\]>', re.DOTALL)


def _commands(path: Path) -> list[tuple[int, ...]]:
    """For each layer, in the order of the table "perf" and so of `*_per-layer.csv`, the words that the table "queue" has for
    it, whose offsets are bytes from the stream's begin."""
    tables = {
        found[1]: list(csv.DictReader(found[2].strip().splitlines()))
        for found in _TABLE.finditer(path.read_text(encoding="utf-8"))
    }
    words: dict[str, list[int]] = {row["id"]: [] for row in tables["perf"]}
    for row in tables["queue"]:
        words[row["scheduled_id"]].append(int(row["offset"]) // 4)
    return [tuple(sorted(found)) for found in words.values()]


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"{pattern} in {folder}")
    return found[0]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
