"""Our estimate of a stream beside Vela's of the same layers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from mcu_sdk.npu.cycles.estimate import StreamCycles
from mcu_sdk.npu.vela import VelaSummary

APART = 0.25
"""Share of Vela's cycles from which on a difference is pointed out."""


@dataclass(frozen=True)
class Compared:
    """Cycles of some layers of one kind, `npu_operator`, by both."""

    npu_operator: str
    layers: int
    vela: int
    ours: int

    @property
    def apart(self) -> bool:
        """Whether the two differ by more than APART of Vela's."""
        return abs(self.ours - self.vela) > APART * self.vela


def by_layer(summary: VelaSummary, stream: StreamCycles) -> list[int]:
    """Our cycles of each of Vela's layers, in its order: of the operation that starts it and of those before that one which
    start no other layer (copies of tables, parts of products). 0 for a layer that another one does, too."""
    owners = sorted((word, number) for number, layer in enumerate(summary.layers) for word in layer.commands)
    words = [word for word, _ in owners]
    found = [0] * len(summary.layers)
    for operation in stream.operations:
        place = bisect_left(words, operation.index)
        if place < len(owners):
            found[owners[place][1]] += operation.cycles
    return found


def compare(summary: VelaSummary, stream: StreamCycles) -> list[Compared]:
    """Each layer that has commands of its own."""
    ours = by_layer(summary, stream)
    return [
        Compared(layer.npu_operator, 1, layer.cycles, cycles)
        for layer, cycles in zip(summary.layers, ours, strict=True)
        if layer.commands
    ]


def by_kind(layers: Iterable[Compared]) -> list[Compared]:
    """The same, added up by kind; the kinds that take Vela's estimate or ours the most cycles first."""
    found: dict[str, Compared] = {}
    for layer in layers:
        known = found.get(layer.npu_operator, Compared(layer.npu_operator, 0, 0, 0))
        found[layer.npu_operator] = Compared(
            layer.npu_operator,
            known.layers + layer.layers,
            known.vela + layer.vela,
            known.ours + layer.ours,
        )
    return sorted(found.values(), key=lambda kind: -max(kind.vela, kind.ours))
