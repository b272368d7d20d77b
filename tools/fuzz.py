"""Every verb on damaged inputs: each ends with a documented exit code and one paragraph, and leaves nothing behind.

    python tools/fuzz.py [--seed N] [--count N] [--jobs N]    run, or go on where an interrupted run ended
    python tools/fuzz.py --seed N --only INDEX                one case again, with its traceback; its inputs stay

A case is a valid input, damaged by what its number and the seed draw (tools/mutations.py), and a command line on it,
run in this process by the function that the `mcu-sdk` program calls. Cases are spread over worker processes; one that
dies takes its case with it, not the run. Results go to build/fuzz/SEED.jsonl, `--docs` writes the table to
docs/fuzz.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from threading import Lock

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mcu_sdk import cli  # noqa: E402
from tools.fuzz_cases import CASES, Case, Seeds, make_seeds  # noqa: E402

DOCUMENTED = (0, 2, 3, 4, 5, 6, 7, 124)
"""Exit codes of docs/errors-and-exit-codes.md that a damaged input may lead to. 1 is a defect, 130 an interruption."""

SECONDS = 600
"""Of processor time, after which a case counts as endless. Most take less than one; a manifest that lost its model asks
for the bundled one, compiled and compared in one to three minutes."""

MEMORY = 12 << 30
"""Bytes of address space for a worker: an input that asks for more than the computer has gets a MemoryError."""


class EndlessError(BaseException):
    """No exception that a program may catch."""


@dataclass(frozen=True)
class Result:
    """`fault` is empty, or what was wrong; `said` the beginning of standard error."""

    index: int
    verb: str
    file: str
    code: int
    fault: str = ""
    said: str = ""


def case_of(index: int, quick: bool = False) -> Case:
    """Which case a number stands for: they take turns by their weights."""
    chosen = [case for case in CASES if case.quick or not quick]
    order = [case for turn in range(max(c.weight for c in chosen)) for case in chosen if turn < case.weight]
    # A spread order: neighbours are different cases, and every stretch of the run has all of them.
    Random(0).shuffle(order)
    return order[index % len(order)]


def run_case(
    index: int, seed: int, seeds: Seeds, scratch: Path, *, quick: bool = False, keep: bool = False
) -> Result:
    """Damage an input, run the command, look at what it left."""
    case = case_of(index, quick)
    draw = Random(f"{seed}:{index}")
    shutil.rmtree(scratch, ignore_errors=True)
    work = scratch / "work"
    (work / "in").mkdir(parents=True)
    (work / "tmp").mkdir()
    arguments = case.prepare(seeds, work, draw)
    before = listing(work)
    out, err = io.StringIO(), io.StringIO()
    code, fault = 0, ""
    here = Path.cwd()
    os.chdir(work)
    try:
        with (
            limited(work / "tmp", case.quick),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = cli.run(["--quiet", *arguments]) if isinstance(arguments, list) else arguments()
    except EndlessError:
        code, fault = 124, f"endless: {SECONDS} seconds"
    except BaseException as error:  # what gets past the command line is a fault by itself
        code, fault = 1, f"{type(error).__name__} left the command line: {error}"
        err.write(traceback.format_exc())
    finally:
        os.chdir(here)
    said = err.getvalue()
    fault = fault or judge(case, code, said, before, work)
    if keep:
        print(f"{case.verb}: {case.file}: exit {code} {fault}\n{arguments}\n{said}")
    return Result(index, case.verb, case.file, code, fault, said[:400] if fault else "")


def judge(case: Case, code: int, said: str, before: dict[str, int], work: Path) -> str:
    """What is wrong with how a command ended; "" for nothing."""
    if code not in DOCUMENTED:
        return f"exit code {code}"
    if "Traceback" in said or "defect in mcu-sdk" in said:
        return "a traceback"
    if code and not said.startswith("error: "):
        return "no paragraph, or something before it"
    if code and said.count("\n") != 1:
        return f"{said.count(chr(10))} lines instead of one paragraph"
    left = [
        p.name for p in (work / "tmp").iterdir() if not p.name.startswith("torchinductor")
    ]  # torch keeps it
    if left:
        return f"left in the temporary folder: {left}"
    after = listing(work)
    after = {name: value for name, value in after.items() if not name.startswith("tmp/")}
    made = {name.split("/")[0] for name in after.keys() - before.keys()}
    if code == 0:
        return "" if made <= set(case.makes) else f"made {sorted(made - set(case.makes))}"
    if case.may_change:
        return ""
    return "" if after == before else f"half written: {sorted(after.items() ^ before.items())[:4]}"


def listing(folder: Path) -> dict[str, int]:
    """Every file below a folder, with its size and content as one number."""
    return {
        str(path.relative_to(folder)): hash(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@contextlib.contextmanager
def limited(temporary: Path, quick: bool) -> Iterator[None]:
    """A time limit, temporary files where they are seen, and for a quick case no compiler or CMake to be found:
    `generate` compiles and links to learn the size of the code, and `build` ends where it would begin."""

    def stop(number: int, frame: object) -> None:
        raise EndlessError

    path = os.environ.get("PATH", "")
    if quick:
        os.environ["PATH"] = "/nonexistent"
    kept = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    tempfile.tempdir = str(temporary)
    try:
        yield
    finally:
        os.environ["PATH"] = path
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, kept)
        tempfile.tempdir = None


# ---- many of them


def work_through(indices: Iterable[int], seed: int, seeds: Seeds) -> None:
    """A worker: results on standard output, one line each, a line before each case so that a death has a name."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory(prefix="mcu-sdk-fuzz-") as folder:
        os.environ["MCU_SDK_CACHE"] = f"{folder}/cache"
        for index in indices:
            print(json.dumps({"begun": index}), flush=True)
            result = run_case(index, seed, seeds, Path(folder) / "scratch")
            print(json.dumps(asdict(result)), flush=True)
            if result.code == 124 and result.fault:
                return  # what was stopped in the middle may be broken; the next worker is new


def run_all(seed: int, count: int, jobs: int, seeds: Seeds, log: Path) -> list[Result]:
    """All cases that the log does not have yet, then all of the log."""
    done = {result.index for result in read_log(log)}
    left = [index for index in range(count) if index not in done]
    began = time.monotonic()
    with log.open("a") as file, ThreadPoolExecutor(jobs) as threads:
        lock = Lock()
        finished = 0

        def keep(result: Result) -> None:
            nonlocal finished
            with lock:
                file.write(json.dumps(asdict(result)) + "\n")
                file.flush()
                finished += 1
                if result.fault:
                    print(
                        f"{result.index}: {result.verb}: {result.file}: {result.fault}: {result.said[:300]}"
                    )
                elif finished % 200 == 0:
                    print(f"{finished} of {len(left)}, {time.monotonic() - began:.0f} s", flush=True)

        for follower in [threads.submit(follow, left[n::jobs], seed, seeds, keep) for n in range(jobs)]:
            follower.result()
    return read_log(log)


def follow(queue: list[int], seed: int, seeds: Seeds, keep: Callable[[Result], None]) -> None:
    """Let workers do the cases of a queue, one worker after the other where one ends early."""
    while queue:
        begun = None
        with start_worker(seed, seeds, queue) as worker:
            assert worker.stdout is not None
            for line in worker.stdout:
                content = json.loads(line)
                if "begun" in content:
                    begun = content["begun"]
                else:
                    keep(Result(**content))
                    queue, begun = queue[1:], None
        if begun is not None or (worker.returncode and queue):
            case = case_of(queue[0])
            fault = f"the process died: {worker.returncode}"
            keep(Result(queue[0], case.verb, case.file, worker.returncode, fault))
            queue = queue[1:]


def start_worker(seed: int, seeds: Seeds, queue: list[int]) -> subprocess.Popen[str]:
    """A process that runs `work_through` on a queue."""
    command = [sys.executable, __file__, "--seed", str(seed), "--worker", str(seeds.folder)]
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(queue))
    worker.stdin.close()
    return worker


def read_log(log: Path) -> list[Result]:
    if not log.exists():
        return []
    return [Result(**json.loads(line)) for line in log.read_text().splitlines()]


# ---- what came of it


def table(results: list[Result]) -> str:
    """Markdown: cases and exit codes for each verb and file."""
    codes: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    faults: Counter[tuple[str, str]] = Counter()
    for result in results:
        codes[result.verb, result.file][result.code] += 1
        faults[result.verb, result.file] += bool(result.fault)
    shown = [code for code in DOCUMENTED if any(found[code] for found in codes.values())]
    rows = [
        f"| verb | damaged | cases | {' | '.join(f'exit {code}' for code in shown)} | faults |",
        "|---|---|" + "---:|" * (len(shown) + 2),
    ]
    for (verb, file), found in sorted(codes.items()):
        numbers = " | ".join(f"{found[code]:,}" if found[code] else "" for code in shown)
        rows.append(f"| {verb} | {file} | {found.total():,} | {numbers} | {faults[verb, file]} |")
    total: Counter[int] = sum(codes.values(), Counter())
    numbers = " | ".join(f"{total[code]:,}" for code in shown)
    rows.append(f"| all | | {total.total():,} | {numbers} | {faults.total()} |")
    return "\n".join(rows) + "\n"


DOCS = """# Fuzzing

Every verb on damaged inputs: `make fuzz` takes valid ones, damages them (`tools/mutations.py`) and runs the command
line on them. Each case has to end with a documented [exit code](errors-and-exit-codes.md) other than 1, say why in
one paragraph, and leave neither half a project nor a temporary file. A run that was interrupted goes on where it
ended; `python tools/fuzz.py --seed {seed} --only INDEX` runs one case again. `make test` runs 200 of the quick ones.

The last result, `python tools/fuzz.py --seed {seed} --count {count} --docs`:

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, help="one case, in full")
    parser.add_argument("--again", action="store_true", help="forget what an earlier run found")
    parser.add_argument("--docs", action="store_true", help="write docs/fuzz.md")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work_through(json.load(sys.stdin), options.seed, Seeds(Path(options.worker)))
        return 0
    folder = ROOT / "build" / "fuzz"
    seeds = make_seeds(folder / "seeds")
    if options.only is not None:
        scratch = folder / f"case-{options.seed}-{options.only}"
        return bool(run_case(options.only, options.seed, seeds, scratch, keep=True).fault)
    log = folder / f"{options.seed}.jsonl"
    if options.again:
        log.unlink(missing_ok=True)
    print(f"seed {options.seed}, {options.count} cases, log {log}", flush=True)
    results = [
        r for r in run_all(options.seed, options.count, options.jobs, seeds, log) if r.index < options.count
    ]
    found = table(results)
    print(found)
    if options.docs:
        text = DOCS.format(seed=options.seed, count=options.count) + found
        (ROOT / "docs" / "fuzz.md").write_text(text, encoding="utf-8")
    return int(any(result.fault for result in results))


if __name__ == "__main__":
    sys.exit(main())
