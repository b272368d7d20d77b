"""Another version of Vela beside the installed one, on every case of the NPU matrices: what differs from the TOSA reference
model, bytes, cycles; to docs/vela-versions.md.

    .venv/bin/python tools/compare_vela.py VERSION [--by-hand] [--accelerators NAME ...] [--projects FOLDER ...]

`--projects`: generated ones, whose delegates are compiled anew by both. The other version is unpacked in build/vela, nothing
of the environment is changed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matrix import ROOT

sys.path.insert(0, str(ROOT))

from mcu_sdk.board.npu_target import NpuTarget, default_target
from mcu_sdk.errors import McuSdkError
from mcu_sdk.markdown import table
from mcu_sdk.npu.accelerator import accelerator as accelerator_of
from mcu_sdk.npu.accelerator import accelerators
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.cycles.estimate import estimate
from mcu_sdk.npu.cycles.memories import memory_system
from mcu_sdk.npu.reference import TosaDelegate
from mcu_sdk.npu.simulator import Simulator
from mcu_sdk.npu.stream import read_stream
from mcu_sdk.npu.vela import VelaSummary, read_summary

PACKAGE = "ethos-u-vela"
WORK = ROOT / "build" / "vela"
PAGE = ROOT / "docs" / "vela-versions.md"
SEEDS = range(2)
"""Of the inputs, over the whole range of their types."""

BY_HAND = "--by-hand"

MARK = "@"
"""What a line of the compiling process begins with that is no print of Vela's."""


@dataclass(frozen=True)
class Graph:
    """A TOSA graph and the NPU that it is compiled for. `flags`: more options for Vela."""

    name: str
    tosa: bytes
    target: NpuTarget
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Of one graph by one version: elements that differ from the reference model, bytes, cycles by Vela and by
    mcu_sdk/npu/cycles. `failed`: why there is nothing of that."""

    differing: int = 0
    commands: int = 0
    weights: int = 0
    scratch: int = 0
    vela: int = 0
    ours: int = 0
    failed: str = ""


@dataclass
class Compiler:
    """A process with one version of Vela, which goes on where the last one died."""

    version: str
    site: Path | None
    process: subprocess.Popen[str] | None = field(default=None)

    def compile(self, graph: Graph) -> tuple[bytes, VelaSummary]:
        """The blob, and Vela's estimates. Raises RuntimeError with Vela's words."""
        folder = WORK / f"out-{self.version}"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.rglob("*.*"):
            old.unlink()
        (folder / "graph.tosa").write_bytes(graph.tosa)
        target = graph.target
        self._send(
            {
                "folder": str(folder),
                "target": [target.accelerator, target.system_config, target.memory_mode],
                "flags": list(graph.flags),
            }
        )
        return (folder / "blob.bin").read_bytes(), read_summary(folder / "output")

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait()
            self.process = None

    def _send(self, job: dict[str, object]) -> None:
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        answer = self._answer(process)
        if answer is None:
            status = process.wait()
            self.process = None
            raise RuntimeError(f"Vela ended with status {status}")
        if answer:
            raise RuntimeError(answer)

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            path = [str(each) for each in (self.site, ROOT) if each is not None]
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--compile"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            )
            found = self._answer(self.process)
            assert found == self.version, f"{self.version} was expected, {found} was loaded"
        return self.process

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> str | None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(MARK):
                return line.removeprefix(MARK).strip()
        return None


def compile_on_request() -> None:
    """What the process of a `Compiler` does: a job a line, an answer a line, empty where all went well. The options are
    ExecuTorch's and those of mcu_sdk/lowering/ethos_u/delegate.py."""
    vela_compile = _packer()
    answers = sys.stdout
    print(f"{MARK}{version(PACKAGE)}", file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        folder, answer = Path(job["folder"]), ""
        accelerator, system, mode = job["target"]
        flags = [
            *(*job["flags"], "--verbose-performance", "--enable-debug-db"),
            *(f"--accelerator-config={accelerator}", "--config=Arm/vela.ini", "--output-format=raw"),
            *(f"--system-config={system}", f"--memory-mode={mode}"),
        ]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                result = vela_compile(
                    (folder / "graph.tosa").read_bytes(), flags, intermediate_path=str(folder)
                )
            (folder / "blob.bin").write_bytes(result.processed_bytes)
        except (Exception, SystemExit) as error:
            answer = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        print(f"{MARK}{answer}", file=answers, flush=True)


def _packer() -> Callable[..., Any]:
    """ExecuTorch's call of Vela. The file is loaded alone: its package would load PyTorch, for each version."""
    package = importlib.util.find_spec("executorch")
    assert package is not None and package.submodule_search_locations is not None
    file = Path(next(iter(package.submodule_search_locations))) / "backends" / "arm" / "arm_vela.py"
    spec = importlib.util.spec_from_file_location("arm_vela", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["arm_vela"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    found: Callable[..., Any] = module.vela_compile
    return found


def unpacked(number: str) -> Path | None:
    """Where another version of Vela is; None for the installed one."""
    if number == version(PACKAGE):
        return None
    site = WORK / number
    if not site.exists():
        wheels = WORK / f"wheel-{number}"
        command = ["pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), f"{PACKAGE}=={number}"]
        subprocess.run([sys.executable, "-m", *command], check=True)
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as content:
            content.extractall(site)
    return site


def graphs(chosen: Sequence[str], modules: bool) -> Iterator[Graph]:
    """The cases of tests/npu/test_reference.py and tests/npu/u85/test_reference.py for the accelerators in `chosen`; without
    `modules` the graphs put together by hand alone."""
    from tests.npu.graphs import graphs as by_hand
    from tests.npu.lowering import lower
    from tests.npu.models import cases
    from tests.npu.u85.graphs import graphs as by_hand_u85

    for accelerator in chosen:
        target = default_target(accelerator)
        of_u85 = target.family == "u85"
        for name, case in cases().items() if modules else ():
            yield Graph(name, lower(case, accelerator).tosa, target, case.flags)
        if of_u85 or accelerator == "ethos-u55-128":
            for name, make in (by_hand() | (by_hand_u85() if of_u85 else {})).items():
                yield Graph(f"graph {name}", make(), target)


def mistakes() -> Iterator[Graph]:
    """Of what a version has been seen to make something wrong."""
    from tests.npu.lowering import lower
    from tests.npu.models import FUNCTION_BETWEEN, MISCOMPILED_SLICE

    accelerator = "ethos-u55-128"
    for case in (FUNCTION_BETWEEN, MISCOMPILED_SLICE):
        yield Graph(case.name, lower(case, accelerator).tosa, default_target(accelerator))


def of_projects(folders: Iterable[Path]) -> Iterator[Graph]:
    """The delegates of generated projects."""
    for folder in folders:
        for path in sorted((folder / "model").glob("delegate_*.tosa")):
            summary = VelaSummary.from_json(json.loads(path.with_suffix(".json").read_text()))
            accelerator = summary.accelerator.lower().replace("_", "-")
            target = NpuTarget(accelerator, summary.system_config, summary.memory_mode)
            yield Graph(folder.name, path.read_bytes(), target)


def judge(graph: Graph, compiler: Compiler) -> Outcome:
    """Compile a graph, run it, estimate it."""
    from tests.npu.comparison import simulate
    from tests.npu.lowering import random_inputs

    try:
        data, summary = compiler.compile(graph)
        blob = read_blob(data)
        differing = 0
        for seed in SEEDS:
            inputs = random_inputs(graph.tosa, seed)
            found = simulate(_simulator(graph.target.accelerator), data, inputs)
            for tensor, wanted, given in zip(blob.outputs, _expected(graph.tosa, seed), found, strict=True):
                pairs = (
                    np.frombuffer(each, f"<i{tensor.element_size}") for each in (wanted, given.tobytes())
                )
                differing += int(np.not_equal(*pairs).sum())
        target = graph.target
        kind = accelerator_of(target.accelerator).kind
        system = memory_system(kind, target.system_config, target.memory_mode)
        ours = estimate(read_stream(blob.commands), system).cycles
    except (RuntimeError, McuSdkError) as error:
        return Outcome(failed=" ".join(str(error).split()))
    sizes = len(blob.commands), len(blob.weights), blob.scratch_size
    return Outcome(differing, *sizes, summary.cycles, ours)


@cache
def _simulator(accelerator: str) -> Simulator:
    return Simulator(accelerator_of(accelerator))


_answers: dict[tuple[bytes, int], list[bytes]] = {}


def _expected(tosa: bytes, seed: int) -> list[bytes]:
    """What the reference model says, once for a graph however many accelerators it is for."""
    from tests.npu.lowering import random_inputs

    if (tosa, seed) not in _answers:
        given = [np.ascontiguousarray(each).tobytes() for each in random_inputs(tosa, seed)]
        _answers[tosa, seed] = TosaDelegate(tosa).run(given)
    return _answers[tosa, seed]


Found = dict[tuple[str, str], list[Outcome]]
"""By name and accelerator an outcome for each version."""

HEAD = (
    *("version", "compiled and run", "equal", "failed", "bytes of commands", "of weights and scales"),
    *("of the scratch", "cycles, Vela's", "ours"),
)


def totals(found: Found, versions: Sequence[str]) -> list[tuple[str, ...]]:
    """A row for each version. Bytes and cycles are sums over what all versions compiled."""
    rows = []
    for number, name in enumerate(versions):
        mine = [outcomes[number] for outcomes in found.values()]
        both = [outcomes[number] for outcomes in found.values() if not any(each.failed for each in outcomes)]
        equal = sum(not each.failed and each.differing == 0 for each in mine)
        failed = sum(bool(each.failed) for each in mine)
        sums = (
            sum(getattr(each, key) for each in both)
            for key in ("commands", "weights", "scratch", "vela", "ours")
        )
        rows.append((name, str(len(mine) - failed), str(equal), str(failed), *(f"{each:,}" for each in sums)))
    return rows


def page(cases: Found, projects: Found, known: Found, versions: Sequence[str], arguments: str) -> str:
    """The page as Markdown. `known`: what `mistakes` gave."""
    which = "every graph put together by hand" if BY_HAND in arguments.split() else "every case"
    lines = [
        "# Versions of Vela",
        "",
        "This command writes the page:",
        "",
        f"    python tools/compare_vela.py {arguments}",
        "",
        f"The installed version, {versions[0]}, and another one compile {which} of the NPU matrices",
        "([U55 and U65](npu-matrix.md), [U85](npu-matrix-u85.md)), with the systems of the boards here; each stream is run by the",
        f"simulator with {len(SEEDS)} inputs over the whole range of their types, against the TOSA reference model. Cycles are",
        "estimates: each version's own, which its model of the NPU makes, and [ours](npu_lowering.md#our-own-estimate), which judges",
        "the streams of both alike. Bytes and cycles are sums over what both",
        "compiled.",
    ]
    for family in sorted({accelerator.split("-")[1] for _, accelerator in cases}):
        mine = {key: value for key, value in cases.items() if key[1].split("-")[1] == family}
        names = ", ".join(sorted({accelerator for _, accelerator in mine}))
        lines += ["", f"## {names}", "", *table(HEAD, "lrrrrrrrr", totals(mine, versions)), *_apart(mine)]
        lines += _wrong(mine, versions)
    if projects:
        lines += ["", "## Models", "", *_models(projects, versions), *_wrong(projects, versions)]
    lines += ["", "## Known mistakes", "", "Elements that differ from the reference model:", ""]
    lines += table(("case", *versions), "l" + "r" * len(versions), _mistaken(known))
    return "\n".join(lines) + "\n"


def _mistaken(known: Found) -> list[tuple[str, ...]]:
    return [
        (f"{name} on {accelerator}", *(each.failed or str(each.differing) for each in outcomes))
        for (name, accelerator), outcomes in known.items()
    ]


def _apart(found: Found) -> list[str]:
    """How often the other version takes fewer of our cycles, and more, and where it differs most."""
    shares = {
        f"{name} ({accelerator})": outcomes[1].ours / max(1, outcomes[0].ours) - 1
        for (name, accelerator), outcomes in found.items()
        if not any(each.failed for each in outcomes)
    }
    fewer, more = (sum(sign * share > 0.02 for share in shares.values()) for sign in (-1, 1))
    if not fewer and not more:
        return ["", "By our cycles no case is over 2 % apart."]
    ends = sorted(shares, key=lambda name: shares[name])
    most = ", ".join(f"{name} {shares[name]:+.0%}" for name in [*ends[:3], *ends[-3:]])
    return [
        "",
        f"By ours the other takes over 2 % fewer cycles in {fewer} cases, over 2 % more in {more}: {most}.",
    ]


def _wrong(found: Found, versions: Sequence[str]) -> list[str]:
    """What differs from the reference model or could not be run."""
    lines = []
    for (name, accelerator), outcomes in found.items():
        for number, each in zip(versions, outcomes, strict=True):
            if each.failed or each.differing:
                why = each.failed or f"{each.differing:,} elements differ"
                lines.append(f"- {number}, {name} on {accelerator}: {why}")
    return ["", *lines] if lines else []


def _models(found: Found, versions: Sequence[str]) -> list[str]:
    head = ("project", "accelerator", "version", "elements that differ", *HEAD[4:])
    rows = [
        (
            *(name, accelerator, number, "failed" if each.failed else str(each.differing)),
            *(f"{n:,}" for n in (each.commands, each.weights, each.scratch, each.vela, each.ours)),
        )
        for (name, accelerator), outcomes in found.items()
        for number, each in zip(versions, outcomes, strict=True)
    ]
    return table(head, "lllrrrrrr", rows)


def measure(wanted: Iterable[Graph], compilers: Sequence[Compiler]) -> Found:
    """The outcomes; several delegates of one project are summed up."""
    found: Found = {}
    for graph in wanted:
        key = graph.name, graph.target.accelerator
        outcomes = [judge(graph, compiler) for compiler in compilers]
        found[key] = (
            [_sum(a, b) for a, b in zip(found[key], outcomes, strict=True)] if key in found else outcomes
        )
        print(*key, *(each.failed or each.differing for each in outcomes), file=sys.stderr, flush=True)
    return found


def _sum(a: Outcome, b: Outcome) -> Outcome:
    """Of two delegates, which share one scratch."""
    return Outcome(
        a.differing + b.differing,
        a.commands + b.commands,
        a.weights + b.weights,
        max(a.scratch, b.scratch),
        a.vela + b.vela,
        a.ours + b.ours,
        a.failed or b.failed,
    )


def main(arguments: Sequence[str]) -> int:
    """1 where a version makes something wrong, or nothing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("version")
    parser.add_argument(
        "--accelerators", nargs="+", choices=list(accelerators()), default=list(accelerators())
    )
    parser.add_argument("--projects", nargs="+", type=Path, default=[])
    parser.add_argument(BY_HAND, action="store_true", help="no modules, which torch lowers first")
    asked = parser.parse_args(arguments)
    versions = [version(PACKAGE), asked.version]
    compilers = [Compiler(number, unpacked(number)) for number in versions]
    try:
        cases = measure(graphs(asked.accelerators, not asked.by_hand), compilers)
        projects = measure(of_projects(asked.projects), compilers)
        known = measure(mistakes(), compilers)
    finally:
        for compiler in compilers:
            compiler.close()
    PAGE.write_text(page(cases, projects, known, versions, " ".join(arguments)), encoding="utf-8")
    outcomes = [each for found in (cases, projects) for both in found.values() for each in both]
    return int(any(each.failed or each.differing for each in outcomes))


if __name__ == "__main__":
    if sys.argv[1:] == ["--compile"]:
        compile_on_request()
    else:
        sys.exit(main(sys.argv[1:]))
