"""The report on a firmware: flash, RAM, regions, instructions per token, digest; for terminal, JSON and Markdown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mcu_sdk import markdown
from mcu_sdk.board.board import Board
from mcu_sdk.planning.bound import Bound
from mcu_sdk.planning.experts import Experts
from mcu_sdk.planning.step_choice import StepChoice
from mcu_sdk.project.accuracy import Accuracy
from mcu_sdk.project.build import BuildResult
from mcu_sdk.project.elf import ElfSizes
from mcu_sdk.project.map import LibraryPart
from mcu_sdk.project.npu_details import NpuDetails
from mcu_sdk.project.stack import StackBound
from mcu_sdk.targets.protocol import Transcript
from mcu_sdk.text import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = 24


@dataclass(frozen=True)
class RegionUse:
    """Bytes used of a region's size."""

    name: str
    used: int
    size: int

    @property
    def bar(self) -> str:
        """`_BAR` characters; anything that is used shows."""
        filled = min(_BAR, -(-self.used * _BAR // self.size))
        return "█" * filled + "░" * (_BAR - filled)


@dataclass(frozen=True)
class Report:
    """Sizes in bytes, None where a target has none. RAM is arena + KV cache + stack + other variables."""

    name: str
    board: str
    flash: int | None = None
    weights: int | None = None
    code: int | None = None
    ram: int | None = None
    arena: int | None = None
    kv_cache: int | None = None
    stack: int | None = None
    stack_bound: StackBound | None = None
    libraries: tuple[LibraryPart, ...] = ()
    other: int | None = None
    regions: tuple[RegionUse, ...] = ()
    in_flash: bool = True
    target: str | None = None
    npu: str | None = None
    npu_details: NpuDetails | None = None
    accuracy: Accuracy | None = None
    bound: Bound | None = None
    experts: Experts | None = None
    decode: StepChoice | None = None
    when_full: str | None = None
    run: Transcript | None = None
    agreement: str | None = None
    is_library: bool = False

    @property
    def image_in(self) -> str:
        """ "flash" where all of the image lies in it; else "image", which a simulator or a loader puts into RAM, too."""
        return "flash" if self.in_flash else "image"

    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each line, without the regions."""
        rows = [("NPU", self.npu)] if self.npu is not None else []
        if self.npu_details is not None:
            rows += ([] if rows else [("NPU", "")]) + self.npu_details.rows()
        if self.decode is not None:
            rows += self.decode.rows()
        sizes = (
            (self.image_in, self.flash),
            ("  weights (.pte)", self.weights),
            ("  code and tables", self.code),
            ("RAM", self.ram),
            ("  arena", self.arena),
            ("  KV cache", self.kv_cache),
            ("  stack (reserved)", self.stack),
            ("  other variables", self.other),
        )
        rows += [(label, f"{size:,} bytes") for label, size in sizes if size is not None]
        if self.when_full is not None:
            rows.append(("when it is full", self.when_full))
        if self.libraries:
            names = ", ".join(part.symbol for part in self.libraries)
            rows.append(("of libc, libgcc", f"{sum(p.bytes for p in self.libraries):,} bytes: {names}"))
        if self.stack_bound is not None:
            deepest, why = self.stack_bound.bytes, self.stack_bound.reason
            label = "stack of a call (at most)" if self.is_library else "stack (at most)"
            rows.append((label, f"{deepest:,} bytes" if deepest is not None else f"unknown: {why}"))
        if self.accuracy is not None:
            rows += self.accuracy.rows()
        if self.experts is not None:
            rows += self.experts.rows()
        if self.bound is not None:
            rows += self.bound.rows()
        return rows + self._run_rows()

    def _run_rows(self) -> list[tuple[str, str]]:
        if self.run is None:
            return [("verdict", self.agreement)] if self.agreement else []
        rows: list[tuple[str, str]] = []
        numbers = (
            ("stack (used)", "stack_used", " bytes"),
            ("prompt tokens", "prompt_tokens", ""),
            ("generated tokens", "tokens", ""),
            ("steps", "steps", ""),
            ("conversation", "position", " tokens"),
            ("  of these stored", "stored", " tokens"),
            ("room left", "left", " tokens"),
        )
        for label, key, unit in numbers:
            value = self.run.number(key)
            if value is not None:
                rows.append((label, f"{value:,}{unit}"))
        for unit in ("instructions", "cycles"):
            first, last = self.run.number(f"{unit}_first"), self.run.number(f"{unit}_last")
            if first is not None and last is not None and not self.run.number("chunks"):
                what = "token" if self.run.number("tokens") is not None else "inference"
                rows.append((f"{unit} per {what}", f"{first:,} (first) to {last:,} (last)"))
            rows += _read_in_chunks(self.run, unit)
        if self.run.model:
            rows.append(("model (SHA-256)", self.run.model))
        rows.append(("digest of all outputs", self.run.digest or "none"))
        rows.append(
            ("verdict", self.agreement or f"{self.run.verdict} (not compared; `mcu-sdk verify` does)")
        )
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is unknown is null."""
        run = self.run
        return {
            "name": self.name,
            "board": self.board,
            "target": self.target,
            "npu": self.npu,
            "npu_details": self.npu_details.to_json() if self.npu_details is not None else None,
            "accuracy": asdict(self.accuracy) if self.accuracy is not None else None,
            "bound": self.bound.to_json() if self.bound is not None else None,
            **({"experts": self.experts.to_json()} if self.experts is not None else {}),
            **({"decode": self.decode.to_json()} if self.decode is not None else {}),
            **({"when_full": self.when_full} if self.when_full is not None else {}),
            "flash_bytes": self.flash,
            "weights_bytes": self.weights,
            "code_bytes": self.code,
            "ram_bytes": self.ram,
            "arena_bytes": self.arena,
            "kv_cache_bytes": self.kv_cache,
            "stack_bytes": self.stack,
            "libraries": [asdict(part) for part in self.libraries],
            "stack_bound_bytes": self.stack_bound.bytes if self.stack_bound is not None else None,
            "other_bytes": self.other,
            "regions": [{"name": r.name, "used_bytes": r.used, "size_bytes": r.size} for r in self.regions],
            "run": None if run is None else transcript_json(run),
            "verdict": self.agreement,
        }

    def to_markdown(self) -> str:
        """Two tables under a heading."""
        lines = [
            f"## {one_line(self.name)} on {self.board}",
            "",
            *markdown.table(["", ""], "ll", self.rows()),
        ]
        if self.regions:
            rows = [(r.name, f"{r.used:,}", f"{r.size:,}", r.bar) for r in self.regions]
            lines += ["", *markdown.table(["region", "used", "of", ""], "lrrl", rows)]
        layers = self.npu_details.to_markdown() if self.npu_details is not None else ""
        return "\n".join(lines) + "\n" + layers

    def to_terminal(self) -> RenderableType:
        """What rich prints."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, value in self.rows():
            table.add_row(Text(label), Text(value))
        parts: list[RenderableType] = [Text(f"{self.name} on {self.board}", style="bold"), table]
        slowest = self.npu_details.slowest_layers() if self.npu_details is not None else []
        if slowest:
            layers = Table(title="most cycles by Vela's estimate", title_justify="left", box=None)
            layers.add_column("layer", overflow="fold")
            layers.add_column("on the NPU", no_wrap=True)
            for heading in ("cycles", "MACs", "SRAM"):
                layers.add_column(heading, justify="right", no_wrap=True)
            for layer in slowest:
                numbers = (f"{layer.cycles:,}", f"{layer.macs:,}", f"{layer.memory_bytes:,}")
                layers.add_row(Text(layer.name), Text(layer.npu_operator), *numbers)
            parts += [Text(""), layers]
        if not self.regions:
            return Group(*parts)
        regions = Table.grid(padding=(0, 2))
        for column in range(4):
            regions.add_column(justify="right" if column in (2, 3) else "left")
        for use in self.regions:
            share = f"{100 * use.used / use.size:.1f} %"
            regions.add_row(use.name, Text(use.bar), f"{use.used:,} of {use.size:,}", share)
        return Group(*parts, Text(""), regions)


def _read_in_chunks(run: Transcript, unit: str) -> list[tuple[str, str]]:
    """Of a prompt that was read in chunks: what each of its tokens took on average, and what the last step took."""
    chunks, took = run.number("chunks"), run.number(f"{unit}_read")
    prompt, last = run.number("prompt_tokens"), run.number(f"{unit}_last")
    if not chunks or took is None or not prompt:
        return []
    rows = [(f"{unit} per prompt token", f"{round(took / prompt):,} ({chunks} chunks)")]
    steps = prompt + max((run.number("tokens") or 0) - 1, 0) - (run.number("chunk_tokens") or 0)
    return [*rows, (f"{unit} per token", f"{last:,} (last)")] if steps > 0 and last is not None else rows


def transcript_json(run: Transcript) -> dict[str, Any]:
    """A transcript as plain data."""
    counts = {
        key: run.number(key)
        for key in (
            "prompt_tokens",
            "tokens",
            "steps",
            "position",
            "left",
            "stored",
            "instructions_first",
            "instructions_last",
            "instructions_total",
            "instructions_read",
            "cycles_first",
            "cycles_last",
            "cycles_total",
            "cycles_read",
            "chunks",
            "chunk_tokens",
            "stack_used",
        )
    }
    return {
        "text": run.text,
        "model": run.model,
        "digest": run.digest,
        "verdict": run.verdict,
        "prompt_ids": list(run.prompt_ids),
        "ids": list(run.ids),
        **{key: value for key, value in counts.items() if value is not None},
    }


def make_report(
    name: str,
    board: Board,
    built: BuildResult | None = None,
    run: Transcript | None = None,
    *,
    target: str | None = None,
    npu: str | None = None,
    npu_details: NpuDetails | None = None,
    accuracy: Accuracy | None = None,
    bound: Bound | None = None,
    experts: Experts | None = None,
    decode: StepChoice | None = None,
    when_full: str | None = None,
    agreement: str | None = None,
) -> Report:
    """Put together what a build and a run said. A host build has no sizes: its memory is the system's business.

    `npu`: what stands for the NPU, if the model has one; `npu_details`: what is known of its part. `accuracy`: what
    quantization cost. `bound`: how fast the board can be at most; the run's own count of instructions replaces the one
    that `generate` took. `experts`: what a step reads of a mixture of them. `decode`: where a step runs beside an NPU. `when_full`: what a KV cache does that slides.
    """
    if bound is not None and run is not None:
        bound = bound.measured(run.number("instructions_last"))
    known = Report(
        name,
        board.name,
        target=target,
        npu=npu,
        npu_details=npu_details,
        accuracy=accuracy,
        bound=bound,
        experts=experts,
        decode=decode,
        when_full=when_full,
        run=run,
        agreement=agreement,
    )
    if built is None or built.sizes is None:
        return known
    if built.archive is not None:
        return _of_library(known, built)
    return _of_firmware(known, built, built.sizes, board)


def _of_firmware(known: Report, built: BuildResult, sizes: ElfSizes, board: Board) -> Report:
    used = sizes.by_region(board)
    return replace(
        known,
        flash=sizes.flash,
        weights=sizes.weights,
        code=sizes.code,
        ram=sizes.ram,
        arena=sizes.arena,
        kv_cache=sizes.kv_cache,
        stack=sizes.stack,
        stack_bound=built.stack,
        libraries=built.libraries,
        other=sizes.data + sizes.bss,
        regions=tuple(RegionUse(region.name, used[region.name], region.size) for region in board.region),
        in_flash=sum(used[region.name] for region in board.region if region.kind == "rom") >= sizes.flash,
    )


def _of_library(known: Report, built: BuildResult) -> Report:
    """What a library takes in an image that uses all of its interface.

    Where it lies, and so how fast it can be, is that image's to say.
    """
    parts = built.archive_parts
    code = parts["code"] + parts["tokenizer"]
    return replace(
        known,
        npu=None,
        npu_details=None,
        bound=None,
        flash=code + parts["weights"],
        weights=parts["weights"],
        code=code,
        ram=parts["arena"] + parts["kv_cache"] + parts["variables"],
        arena=parts["arena"],
        kv_cache=parts["kv_cache"],
        stack_bound=built.stack,
        libraries=built.libraries,
        other=parts["variables"],
        is_library=True,
    )


def print_report(report: Report) -> None:
    """On standard output: it is data."""
    from rich.console import Console

    Console(highlight=False).print(report.to_terminal())
