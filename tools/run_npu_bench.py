"""What models on an Ethos-U take, by estimate and by count, and what they lose; to docs/npu-bench.md.

    .venv/bin/python tools/run_npu_bench.py [ROW ...]        (or: make npu-bench)

A row that was measured with the same sources is kept (build/npu-bench/rows.json): an interrupted run goes on. With names
these rows are measured again, whatever is kept; the page is written in any case.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matrix import ROOT, tree

sys.path.insert(0, str(ROOT))

from benchmarks.cases import BERT, VIT, Case
from benchmarks.models import encoder_checkpoint
from mcu_sdk.markdown import table
from mcu_sdk.project.npu_details import NpuDetails
from mcu_sdk.project.opened import open_project

PAGE = ROOT / "docs" / "npu-bench.md"
WORK = ROOT / "build" / "npu-bench"
ROWS = WORK / "rows.json"
BEFORE = ROOT / "tools" / "npu_bench_before.json"
"""Vela's cycles of the same models as an earlier commit compiled them, each wholly for the NPU: what its `generate` left in
model/npu.json, and of the bundled model what its documentation says."""
CODE = ("mcu_sdk", "firmware", "templates", "boards")
"""What a row depends on."""

BERT_128 = next(case for case in BERT if case.name == "bert-128")


@dataclass(frozen=True)
class Row:
    """A model on a target. `case`: of benchmarks/, None for the bundled model. `options`: more of them for `generate`; `chunk`:
    tokens of a prompt at once, of which one is measured."""

    name: str
    model: str
    case: Case | None
    target: str
    memory_mode: str
    board: str = "corstone-300"
    options: tuple[str, ...] = ()
    chunk: int = 0

    def checkpoint(self) -> list[str]:
        """The options that name the model."""
        if self.case is None or self.case.encoder is None:
            return []
        folder = encoder_checkpoint(self.case.encoder, WORK / "models", self.case.seed)
        length = self.case.encoder.tokens
        return ["--model", str(folder), *(["--max-cache-len", str(length)] if length else [])]

    @property
    def verb(self) -> str:
        """`run` of token ids: made-up ones are no text, and are not held against the checkpoint."""
        encoder = self.case.encoder if self.case is not None else None
        return "run" if encoder is not None and encoder.tokens is not None else "verify"

    @property
    def request(self) -> list[str]:
        """Options of the verb: 64 steps of a decoder, a prompt of PROMPT tokens, or one inference on made-up inputs."""
        if self.chunk:
            return ["--ids", ",".join(str(i * 7 % 97) for i in range(PROMPT)), "--tokens", "1"]
        if self.case is None:
            return ["--ids", "1", "--tokens", "64"]
        return ["--steps", "1"]


def rows() -> tuple[Row, ...]:
    """All of them, in the page's order."""
    models: tuple[tuple[str, str, Case | None, tuple[str, ...]], ...] = (
        (
            *("bundled", "bundled decoder, one token in one delegate, cache 64", None),
            ("--max-cache-len", "64", "--decode", "npu"),
        ),
        ("bert-128", BERT_128.title, BERT_128, ()),
        ("vit", VIT.title, VIT, ()),
    )
    targets = (
        ("ethos-u55-128", "Shared_Sram", "corstone-300"),
        ("ethos-u55-128", "Sram_Only", "corstone-300"),
        ("ethos-u85-256", "Shared_Sram", "corstone-320"),
    )
    found = [
        Row(f"{name}-{target.removeprefix('ethos-')}-{mode}", text, case, target, mode, board, options)
        for name, text, case, options in models
        for target, mode, board in targets
    ]
    prompts = [
        Row(
            f"bundled-prompt-{chunk}-u55-128-{mode}",
            f"bundled decoder, a prompt's token, {chunk} at once, cache 64",
            None,
            *("ethos-u55-128", mode),
            options=("--max-cache-len", "64", "--prefill", str(chunk)),
            chunk=chunk,
        )
        for chunk in (16, 32)
        for mode in ("Shared_Sram", "Sram_Only")
    ]
    return (*found[: len(targets)], *prompts, *found[len(targets) :])


def measure(row: Row) -> dict[str, Any]:
    """Generate with an empty cache, read the estimates, build, and verify where QEMU has the board.

    Raises RuntimeError with a command's words.
    """
    project = WORK / row.name
    shutil.rmtree(WORK / "cache", ignore_errors=True)
    _, seconds = mcu_sdk(
        *("generate", "--board", row.board, "--target", row.target, "--memory-mode", row.memory_mode),
        *(*row.options, *row.checkpoint(), "--output", str(project), "--force"),
    )
    opened = open_project(project)
    details, accuracy = opened.npu_details(), opened.accuracy()
    assert details is not None, f"{row.name} has nothing on an NPU"
    found = {**facts(details), "error": None, "instructions": None, "generate": seconds, "verify": None}
    if accuracy is not None:
        found["error"] = accuracy.relative_rms_error
    if opened.npu_on("qemu") is not None and "qemu" in opened.board.simulator:
        mcu_sdk("build", str(project))
        report, seconds = mcu_sdk(row.verb, str(project), *row.request, "--simulator", "qemu")
        found["verify"] = seconds if row.verb == "verify" else None
        run = report["run"]
        found["instructions"] = run.get("instructions_last")
        if row.chunk and "instructions_read" in run:
            found["instructions"] = round(run["instructions_read"] / run["prompt_tokens"])
    return found


def facts(details: NpuDetails) -> dict[str, Any]:
    """What the page has of both estimates; of chunks of a prompt for one token, but for the operations."""
    details = details.prefill or details
    moved = [stream.bytes_moved() for stream in details.cycles]
    ours = sum(stream.cycles for stream in details.cycles)
    macs = sum(stream.macs for stream in details.cycles)
    of_chunk = {
        "macs": macs,
        "vela": sum(summary.cycles for summary in details.estimates),
        "ours": ours,
        "constants": sum(constants for constants, _ in moved),
        "commands": sum(each.command_bytes for stream in details.cycles for each in stream.operations),
        "scratch": sum(scratch for _, scratch in moved),
    }
    return {
        **{name: round(value / (details.tokens or 1)) for name, value in of_chunk.items()},
        "operations": details.operations,
        "calls": details.calls,
        "use": macs / max(1, ours * details.cycles[0].macs_per_cycle) if details.cycles else 0.0,
        "apart": sum(layer.apart for layer in details.compared()),
        "layers": len(details.compared()),
    }


def mcu_sdk(*arguments: str) -> tuple[Any, float]:
    """What a command's --json says, and its seconds of processor time, all its processes together.

    Raises RuntimeError with its error.
    """
    command = [sys.executable, "-m", "mcu_sdk.cli", "--quiet", *arguments, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MCU_SDK_CACHE": str(WORK / "cache")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"mcu-sdk {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


PROMPT = 32
"""Tokens: whole chunks, of 16 and of 32."""

HEAD = (
    *("model", "target", "memory mode", "operations on the NPU", "MACs"),
    *("cycles, Vela's", "ours", "apart", "MACs used", "processor's instructions"),
    *("bytes of constants", "of the scratch", "error", "generate", "verify", "cycles before, Vela's"),
)


def page(found: Mapping[str, Mapping[str, Any]], code: str) -> str:
    """The page as Markdown."""
    before = json.loads(BEFORE.read_text(encoding="utf-8"))
    lines = []
    missing = [row.name for row in rows() if row.name not in found]
    for row in rows():
        if row.name in missing:
            continue
        one = found[row.name]
        instructions = "" if one["instructions"] is None else f"{one['instructions']:,}"
        lines.append(
            (
                *(row.model, row.target, row.memory_mode),
                f"{one['operations']:,} of {one['operations'] + one['calls']:,}",
                *(f"{one['macs']:,}", f"{one['vela']:,}", f"{one['ours']:,}"),
                f"{one['apart']} of {one['layers']}",
                f"{100 * one['use']:.1f} %",
                instructions,
                *(f"{one['constants']:,}", f"{one['scratch']:,}"),
                "" if one["error"] is None else f"{100 * one['error']:.2g} %",
                f"{one['generate']:.0f} s",
                "" if one["verify"] is None else f"{one['verify']:.0f} s",
                f"{before['cycles'][row.name]:,}" if row.name in before["cycles"] else "",
            )
        )
    return "\n".join(
        [
            "# Models on an Ethos-U",
            "",
            "`make npu-bench` writes this page; one token, or one inference; a prompt's token is the average of its chunk. Cycles are estimates, no measurements: Vela's, and",
            '[our own](npu_lowering.md#our-own-estimate), which counts commands, tables and waits too. "Apart": layers in which',
            "the two differ by more than 25 %. The processor's instructions are counted on QEMU's Cortex-M55 beside the simulated",
            "NPU; empty where nothing runs the board. Constants (weights, scales, tables, commands) come from flash with the memory",
            "mode Shared_Sram on a U55, from DRAM on a U85; with Sram_Only all is SRAM. The error is that of the outputs against",
            "the float checkpoint, root mean square. BERT and ViT have random weights of the standard deviation 0.2, ten times that",
            "of transformers (with its own: [encoders](npu_lowering.md#encoders-on-a-u55-or-u65-attention-stays-on-the-processor)).",
            "The last columns but one are seconds of processor time of this computer at that hour: `generate` with an empty cache, and",
            "`verify`, 64 steps of a decoder or one inference, with what it compiles. Before: the same models as the SDK of commit",
            f"{before['commit']} compiled them, where all was on the NPU but look-ups.",
            "",
            f"Made from {code}.",
            *([f"Not measured with these: {', '.join(missing)}."] if missing else []),
            "",
            *table(HEAD, "lllrrrrrrrrrrrrr", lines),
            "",
        ]
    )


def main(names: Sequence[str]) -> int:
    """1 where a row failed; the page has all others."""
    wanted = {row.name: row for row in rows()}
    if unknown := set(names) - set(wanted):
        print(
            f"There is no row {', '.join(sorted(unknown))}; there are {', '.join(wanted)}.", file=sys.stderr
        )
        return 2
    WORK.mkdir(parents=True, exist_ok=True)
    code = "; ".join(f"{folder} {tree(folder)}" for folder in CODE)
    kept = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    found: dict[str, Any] = dict(kept.get("rows", {})) if kept.get("code") == code else {}
    failed = 0
    for name, row in wanted.items():
        if name in found and name not in names:
            continue
        print(name, file=sys.stderr, flush=True)
        try:
            found[name] = measure(row)
        except RuntimeError as error:
            print(error, file=sys.stderr, flush=True)
            found.pop(name, None)
            failed = 1
        ROWS.write_text(json.dumps({"code": code, "rows": found}, indent=1) + "\n")
    PAGE.write_text(page(found, code), encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
