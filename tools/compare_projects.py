"""Shows that a change of the SDK's Python changes no byte of what it generates: every tests/models configuration, made
by another commit and by this tree, compared file by file.

    .venv/bin/python tools/compare_projects.py COMMIT [--models gpt2,qwen3] [--keep FOLDER]

The report lists the files that differ, or the number that are equal; exit 1 if any differs. With changes of firmware/
or templates/ only the .pte files have to agree: `--pte-only`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.checkpoints import FAMILIES, make_checkpoint  # noqa: E402

VARIANTS: dict[str, list[str]] = {
    "default": ["--board", "corstone-300"],
    "static": ["--board", "mps2-an386", "--activations", "static", "--kv-scales", "dynamic"],
}
"""Options of generate: packed weights and run-time scales, and rows with calibrated ones."""
BUNDLED: dict[str, list[str]] = {
    "bundled": ["--board", "corstone-300"],
    "bundled-int4": ["--board", "corstone-300", "--weights", "int4", "--max-cache-len", "64"],
}
NPU_MODEL = "llama-gqa-untied"
"""Is also compiled for an Ethos-U55."""


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep or temporary)
        other = Path(temporary) / "tree"
        _git("worktree", "add", "--detach", str(other), arguments.commit)
        try:
            models = arguments.models.split(",") if arguments.models else list(FAMILIES)
            found = {
                label: _generate(tree, models, folder, label)
                for label, tree in (("before", other), ("after", ROOT))
            }
        finally:
            _git("worktree", "remove", "--force", str(other))
    return _report(found["before"], found["after"], arguments.pte_only)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument(
        "--models", help="names in tests/models, with commas; the bundled model is left out then"
    )
    parser.add_argument("--keep", help="where the projects stay")
    parser.add_argument("--pte-only", action="store_true")
    return parser.parse_args()


def _generate(tree: Path, models: list[str], folder: Path, label: str) -> dict[str, str]:
    """The SHA-256 of every file of every project that `tree` generates, by <case>/<path>."""
    digests = {}
    for name, options in _cases(models, folder):
        output = folder / label / name
        print(f"{label}: {name}", file=sys.stderr, flush=True)
        environment = {**os.environ, "PYTHONPATH": str(tree), "MCU_SDK_CACHE": str(folder / f"cache-{label}")}
        command = [
            sys.executable,
            "-m",
            "mcu_sdk.cli",
            "--quiet",
            "generate",
            *options,
            "--output",
            str(output),
        ]
        subprocess.run(command, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
        for path in sorted(output.rglob("*")):
            if path.is_file() and path.parent.name != ".mcu-sdk":  # where the inputs lie on this computer
                digests[f"{name}/{path.relative_to(output)}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def _cases(models: list[str], folder: Path) -> list[tuple[str, list[str]]]:
    cases = []
    for model in models:
        checkpoint = ["--model", str(make_checkpoint(model, folder / "checkpoints"))]
        cases += [(f"{model}-{variant}", [*checkpoint, *options]) for variant, options in VARIANTS.items()]
        if model == NPU_MODEL:
            npu = ["--target", "ethos-u55-128", "--max-cache-len", "32"]
            cases.append((f"{model}-npu", [*checkpoint, "--board", "corstone-300", *npu]))
    if models == list(FAMILIES):
        cases += BUNDLED.items()
    return cases


def _report(before: dict[str, str], after: dict[str, str], pte_only: bool) -> int:
    names = sorted(
        name for name in before.keys() | after.keys() if not pte_only or name.endswith("/model/model.pte")
    )
    different = [name for name in names if before.get(name) != after.get(name)]
    for name in different:
        print(f"differs: {name}")
    print(f"{len(names) - len(different)} of {len(names)} files are byte-identical")
    return 1 if different else 0


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
