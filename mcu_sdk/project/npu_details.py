"""What the report says of a model on an NPU: estimates by layer, Vela's and ours, memory, and how much runs there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.errors import ModelError
from mcu_sdk.json_file import object_or_nothing
from mcu_sdk.markdown import table
from mcu_sdk.npu.artifact import DelegateArtifact
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.cycles.compare import APART, Compared, by_kind, by_layer, compare
from mcu_sdk.npu.cycles.estimate import StreamCycles
from mcu_sdk.npu.vela import LayerEstimate, VelaSummary
from mcu_sdk.planning.instruction import Tensor
from mcu_sdk.planning.npu_streams import estimate_streams
from mcu_sdk.planning.plan import Plan
from mcu_sdk.planning.pte.read import ETHOS_U, Pte

NPU_OPERATIONS = {0x002, 0x003, 0x005, 0x006}
"""Commands of a stream that compute: convolution, depthwise convolution, pooling, elementwise."""

SHOWN_LAYERS = 10
"""Rows of the terminal's table, those with the most cycles; JSON and Markdown have all."""


@dataclass(frozen=True)
class NpuDetails:
    """`operations`: of the command streams; `calls`: kernel calls of the processor besides; `left`: operators of the
    model that stayed on the processor, {operator, name, reason} each. `estimates`: Vela's by delegate, where they are known;
    `cycles`: ours likewise. `prefill`: the same of the method that reads chunks of a prompt, and `tokens` there how many it
    reads at once; all else is of the step.
    """

    operations: int
    calls: int
    left: tuple[dict[str, str], ...] = ()
    estimates: tuple[VelaSummary, ...] = ()
    cycles: tuple[StreamCycles, ...] = ()
    prefill: NpuDetails | None = None
    tokens: int = 0

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line of the report."""
        if self.prefill is None:
            return self._own_rows()
        rows = self._own_rows() if self.operations else [("  a step", "all of it on the processor")]
        return [*rows, ("  a prompt", f"{self.prefill.tokens} tokens at once"), *self.prefill._own_rows()]

    def per_token(self) -> dict[str, int | None]:
        """Estimated cycles of the NPU for one token of a prompt, Vela's and ours; None where they are not known."""
        return {
            "cycles_per_prompt_token": self._per_token([summary.cycles for summary in self.estimates]),
            "our_cycles_per_prompt_token": self._per_token([stream.cycles for stream in self.cycles]),
        }

    def _per_token(self, cycles: list[int]) -> int | None:
        return round(sum(cycles) / self.tokens) if cycles and self.tokens else None

    def _own_rows(self) -> list[tuple[str, str]]:
        """Those of one method."""
        total = self.operations + self.calls
        share = 100 * self.operations / total if total else 0.0
        rows = [("  operations on it", f"{self.operations:,} of {total:,} ({share:.1f} %)")]
        left = Counter((entry.get("operator"), entry.get("reason")) for entry in self.left)
        rows += [
            ("  on the processor", f"{operator}{f' ({count} times)' if count > 1 else ''}: {reason}")
            for (operator, reason), count in left.items()
        ]
        return rows + self._vela_rows() + self._our_rows()

    def _vela_rows(self) -> list[tuple[str, str]]:
        if not self.estimates:
            return [("  Vela's estimates", "not known: the .pte came without them")]
        cycles = sum(summary.cycles for summary in self.estimates)
        seconds = sum(s.cycles / s.core_clock_hz for s in self.estimates if s.core_clock_hz)
        encoded = sum(summary.encoded_weight_bytes for summary in self.estimates)
        first = self.estimates[0]
        rows = [
            ("  Vela's estimates", f"no measurements; {first.system_config}, {first.memory_mode}"),
            ("    cycles", f"{cycles:,} ({1e3 * seconds:.2f} ms at {first.core_clock_hz / 1e6:.0f} MHz)"),
            ("    MACs", f"{sum(summary.macs for summary in self.estimates):,}"),
            ("    SRAM used", f"{max(summary.sram_bytes for summary in self.estimates):,} bytes"),
            ("    flash used", f"{sum(summary.flash_bytes for summary in self.estimates):,} bytes"),
            ("    weights", f"{encoded:,} bytes, packed, of {sum(s.weight_bytes for s in self.estimates):,}"),
        ]
        if self.tokens:
            rows.insert(2, ("    a prompt token", f"{self.per_token()['cycles_per_prompt_token']:,} cycles"))
        dram = max(summary.dram_bytes for summary in self.estimates)
        return [*rows, ("    DRAM used", f"{dram:,} bytes")] if dram else rows

    def _our_rows(self) -> list[tuple[str, str]]:
        if not self.cycles:
            why = (
                "the simulator does not know all of the command stream, or the project is older than they are"
            )
            return [("  our estimates", f"not known: {why}")]
        first, cycles = self.cycles[0], sum(stream.cycles for stream in self.cycles)
        seconds = sum(s.cycles / s.clock_hz for s in self.cycles if s.clock_hz)
        constants, scratch = (sum(part) for part in zip(*(s.bytes_moved() for s in self.cycles), strict=True))
        commands = sum(each.command_bytes for stream in self.cycles for each in stream.operations)
        used = sum(stream.macs for stream in self.cycles) / max(1, cycles * first.macs_per_cycle)
        beside = ""
        if self.estimates:
            beside = (
                f", {100 * (cycles / max(1, sum(s.cycles for s in self.estimates)) - 1):+.0f} % of Vela's"
            )
        rows = [
            (
                "  our estimates",
                f"no measurements; {first.system_config}, {first.memory_mode}, commands included",
            ),
            ("    cycles", f"{cycles:,} ({1e3 * seconds:.2f} ms at {first.clock_hz / 1e6:.0f} MHz){beside}"),
            ("    MACs used", f"{100 * used:.1f} % of {first.macs_per_cycle} a cycle"),
            ("    constants read", f"{constants:,} bytes, {commands:,} of them commands"),
            ("    scratch moved", f"{scratch:,} bytes"),
        ]
        if self.tokens:
            rows.insert(
                2, ("    a prompt token", f"{self.per_token()['our_cycles_per_prompt_token']:,} cycles")
            )
        apart = [kind for kind in by_kind(self.compared()) if kind.apart]
        if apart:
            text = ", ".join(f"{kind.npu_operator} {kind.ours:,} ({kind.vela:,})" for kind in apart)
            rows.append((f"    not Vela's by {100 * APART:.0f} %", f"{text}: ours (Vela's)"))
        return rows

    def compared(self) -> list[Compared]:
        """Every layer of every delegate by both estimates; none where one is not known."""
        if len(self.estimates) != len(self.cycles):
            return []
        pairs = zip(self.estimates, self.cycles, strict=True)
        return [layer for summary, stream in pairs for layer in compare(summary, stream)]

    def _ours(self) -> list[int | None]:
        """Our cycles of each of `layers`, None where they are not known."""
        if len(self.estimates) != len(self.cycles):
            return [None] * len(self.layers())
        pairs = zip(self.estimates, self.cycles, strict=True)
        return [cycles for summary, stream in pairs for cycles in by_layer(summary, stream)]

    def layers(self) -> list[LayerEstimate]:
        """All layers of all delegates, in order."""
        return [layer for summary in self.estimates for layer in summary.layers]

    def slowest_layers(self) -> list[LayerEstimate]:
        """The SHOWN_LAYERS with the most estimated cycles, most first; those of a prompt among them."""
        layers = [*self.layers(), *(self.prefill.layers() if self.prefill is not None else ())]
        return sorted(layers, key=lambda layer: -layer.cycles)[:SHOWN_LAYERS]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the key "estimates" says what it is."""
        return {
            "operations_on_npu": self.operations,
            "kernel_calls_on_cpu": self.calls,
            "cpu_operators": list(self.left),
            "estimates": [summary.to_json() for summary in self.estimates],
            "our_estimates": [self._stream_json(stream) for stream in self.cycles],
            "layers_by_kind": [{**asdict(kind), "apart": kind.apart} for kind in by_kind(self.compared())],
            "layers_apart": sum(layer.apart for layer in self.compared()),
            **({"tokens": self.tokens, **self.per_token()} if self.tokens else {}),
            **({"prefill": self.prefill.to_json()} if self.prefill is not None else {}),
        }

    def _stream_json(self, stream: StreamCycles) -> dict[str, Any]:
        constants, scratch = stream.bytes_moved()
        return {
            "estimated": True,
            "cycles": stream.cycles,
            "macs": stream.macs,
            "mac_use": stream.mac_use,
            "constant_bytes": constants,
            "scratch_bytes": scratch,
            **stream.to_json(),
        }

    def to_markdown(self) -> str:
        """A table of all layers, or nothing; one of a step's, and one of a prompt's."""
        beside = self.prefill.to_markdown() if self.prefill is not None else ""
        if not self.layers():
            return beside
        head = ["layer", "operator", "on the NPU", "cycles", "ours", "MACs", "SRAM in use"]
        rows = [
            (
                each.name,
                each.operator,
                each.npu_operator,
                f"{each.cycles:,}",
                "" if ours is None else f"{ours:,}",
                f"{each.macs:,}",
                f"{each.memory_bytes:,}",
            )
            for each, ours in zip(self.layers(), self._ours(), strict=True)
        ]
        which = f", of {self.tokens} tokens of a prompt at once" if self.tokens else ""
        title = f"Vela's estimates by layer, and our own of their cycles{which} (no measurements):"
        lines = ["", title, "", *table(head, "lllrrrr", rows)]
        return "\n".join(lines) + "\n" + beside


def describe_npu(
    pte: Pte, plan: Plan, facts: Mapping[str, Any], delegates: Sequence[DelegateArtifact], npu: NpuTarget
) -> NpuDetails:
    """What the report says of the NPU's part; `facts` and `delegates` are those of the recipe, `npu` the target.

    Raises what `count_operations` and `memory_system` raise.
    """
    count = sum(i.operator == f"delegate::{ETHOS_U}" for i in pte.instructions)
    details = _describe_method(pte, plan, delegates[:count], npu)
    left = tuple(facts.get("cpu_operators") or ())
    if pte.prefill is None or plan.prefill is None or not pte.prefill.delegates:
        return replace(details, left=left)
    of_prompt = _describe_method(pte.prefill, plan.prefill, delegates[count:], npu)
    tokens = pte.prefill.inputs[0].elements
    return replace(details, prefill=replace(of_prompt, left=left, tokens=tokens))


def _describe_method(
    pte: Pte, plan: Plan, delegates: Sequence[DelegateArtifact], npu: NpuTarget
) -> NpuDetails:
    """One method's part."""
    blobs = [i.arguments[0] for i in pte.instructions if i.operator == f"delegate::{ETHOS_U}"]
    streams = [read_blob(bytes(blob.data or b"")).commands for blob in blobs if isinstance(blob, Tensor)]
    return NpuDetails(
        operations=count_operations(streams),
        calls=len(plan.calls) - len(streams),
        estimates=tuple(delegate.vela_summary for delegate in delegates),
        cycles=estimate_streams(streams, npu),
    )


def details_files(details: NpuDetails) -> dict[str, bytes]:
    """The file of a project's model folder that `read_details` reads."""
    return {"npu.json": (json.dumps(asdict(details), indent=1, sort_keys=True) + "\n").encode()}


def read_details(folder: Path) -> NpuDetails | None:
    """What `details_files` wrote into a model folder; None where it is missing or not ours: a report goes without."""
    try:
        return _details_of(object_or_nothing(folder / "npu.json"))
    except (ValueError, KeyError, TypeError):
        return None


def _details_of(content: Mapping[str, Any]) -> NpuDetails:
    """The inverse of `asdict`. Raises ValueError, KeyError or TypeError for what is not ours."""
    beside = content.get("prefill")
    found = NpuDetails(
        content["operations"],
        content["calls"],
        tuple(content["left"]),
        tuple(VelaSummary.from_json(entry) for entry in content["estimates"]),
        tuple(StreamCycles.from_json(entry) for entry in content.get("cycles", ())),
        None if beside is None else _details_of(dict(beside)),
        content.get("tokens", 0),
    )
    counts = all(type(count) is int for count in (found.operations, found.calls, found.tokens))
    if not counts or not all(isinstance(entry, dict) for entry in found.left):
        raise ValueError("no details of an NPU's part")
    return found


def count_operations(streams: Iterable[bytes]) -> int:
    """Computing commands of Ethos-U command streams.

    Raises PteError for a corrupt stream, and ModelError for one with a known mistake of Vela's in it (U55, U65): the NPU
    would compute nonsense without a word.
    """
    from mcu_sdk.npu.decode import decode
    from mcu_sdk.npu.errors import MiscompiledError, SimulationError
    from mcu_sdk.npu.stream import read_stream

    count = 0
    for data in streams:
        stream = read_stream(data)
        try:
            decode(stream)
        except MiscompiledError as error:
            raise ModelError(
                f"A stream that computes the model was expected of Vela. {error}",
                hint="docs/npu_simulator.md tells where Vela errs. --activation-bits 8, or another order of "
                "operations there, avoids it.",
            ) from error
        except SimulationError:
            pass  # what the simulator does not know, an NPU may
        count += sum(c.payload is None and c.opcode in NPU_OPERATIONS for c in stream.commands)
    return count
