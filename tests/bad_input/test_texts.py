"""Texts and tokenizers that are wrong are refused before anything slow: no PyTorch is imported for it, no model loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel

import mcu_sdk.model.load as load
from tests.bad_input.mutations import mutated

Refused = Callable[..., str]
Copied = Callable[..., Path]

USAGE, INVALID = 2, 3


@pytest.fixture(autouse=True)
def _nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the checkpoint was loaded")

    monkeypatch.setattr(load, "load_model", never)
    monkeypatch.setattr(load, "load_weights", never)


def bytes_only(*added: str) -> Tokenizer:
    """A byte-level BPE of 256 bytes and no merges, and added tokens behind them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    tokenizer.add_special_tokens(list(added))
    return tokenizer


@pytest.fixture
def model(copied: Copied) -> Path:
    """The tiny Llama with 257 ids, and a tokenizer of 256 bytes and 2 added tokens, one of them beyond."""
    folder = copied()
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == 257
    bytes_only("<in>", "<out>").save(str(folder / "tokenizer.json"))
    return folder


def commands(folder: Path, text: Path) -> list[list[str]]:
    generate = ["generate", "--board=host", f"--model={folder}", "--max-cache-len=16", "--no-cache"]
    evaluate = ["evaluate", f"--model={folder}"]
    return [
        [*generate, f"--calibration-text={text}"],
        [*evaluate, str(text)],
        [*evaluate, str(folder / "good.txt"), f"--calibration-text={text}", "--max-cache-len=16"],
    ]


VERBS = ["generate", "evaluate", "evaluate's calibration"]


@pytest.mark.parametrize("verb", range(3), ids=VERBS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["text.txt", "No such file"]),
        (b"abc\xff\xfe" * 100, ["text.txt", "utf-8"]),
        (b"", ["text.txt", "no token"]),
        (b"a", ["text.txt", "at least"]),
        (b"the <out> king " * 20, ["'<out>'", "257", "beyond the 257 ids"]),
    ],
    ids=["missing", "no UTF-8", "empty", "short", "a token beyond the vocabulary"],
)
def test_a_text(
    content: bytes | None, words: list[str], verb: int, refused: Refused, model: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    if content is not None:
        text.write_bytes(content)
    (model / "good.txt").write_text("hello " * 100)
    refused(commands(model, text)[verb], INVALID, *words)


def test_a_text_that_is_a_folder(refused: Refused, model: Path) -> None:
    refused(commands(model, model)[0], INVALID, "could not be read")


@pytest.mark.parametrize("begin", ["-0.1", "1", "nan", "7"])
def test_a_fraction(begin: str, refused: Refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello " * 100)
    refused([*commands(model, tmp_path / "text.txt")[1], f"--begin={begin}"], USAGE, "--begin")


@pytest.mark.parametrize("verb", range(3), ids=VERBS)
@pytest.mark.parametrize("file", ["vocab.json", "tokenizer.model", None])
def test_a_text_without_a_tokenizer_json(
    file: str | None, verb: int, refused: Refused, model: Path, tmp_path: Path
) -> None:
    (model / "tokenizer.json").unlink()
    if file:
        (model / file).write_text("{}")
    for path in (model / "good.txt", tmp_path / "text.txt"):
        path.write_text("hello " * 100)
    words = [file, "AutoTokenizer", "save_pretrained"] if file else ["has no tokenizer"]
    refused(commands(model, tmp_path / "text.txt")[verb], INVALID, *words)


@pytest.mark.parametrize("source", ["--pte", "--model"])
@pytest.mark.parametrize("what", ["nothing", "a folder without one"])
def test_a_tokenizer_that_is_not_there(
    what: str, source: str, refused: Refused, project: Path, model: Path, tmp_path: Path
) -> None:
    named = tmp_path / "tokenizer"
    if what != "nothing":
        named.mkdir()
    given = project / "model" / "model.pte" if source == "--pte" else model
    command = ["generate", "--board=host", f"{source}={given}", f"--tokenizer={named}"]
    refused(command, INVALID, "--tokenizer", str(named))


@pytest.mark.parametrize("source", ["--pte", "--model"])
def test_a_tokenizer_of_another_model(source: str, refused: Refused, project: Path, model: Path) -> None:
    """More usual tokens than the model has ids."""
    tokenizer = bytes_only()
    content = json.loads(tokenizer.to_str())
    content["model"]["vocab"] |= {f"more{i}": 256 + i for i in range(10)}
    (model / "other.json").write_text(json.dumps(content))
    given = project / "model" / "model.pte" if source == "--pte" else model
    command = ["generate", "--board=host", f"{source}={given}", f"--tokenizer={model / 'other.json'}"]
    refused(command, INVALID, "ids below 257", "ids up to 265")


@pytest.mark.parametrize("ids", ["257", "-1", "1,2,100000000000000000000", "1,x", ""])
def test_ids_beyond_the_vocabulary(ids: str, refused: Refused, project: Path) -> None:
    refused(["run", str(project), f"--ids={ids}"], USAGE, "id")


def test_an_output_that_cannot_be_written(refused: Refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    generate = ["generate", "--board=host", f"--model={model}", f"--output={tmp_path / 'file' / 'out'}"]
    refused(generate, USAGE, "cannot be written")


PROGRAM = """
import sys
from mcu_sdk import cli
found = [cli.run(["--quiet", *line.split("\\x1f")]) for line in sys.stdin.read().splitlines()]
print(found, "torch" in sys.modules, "transformers" in sys.modules)
"""


def test_no_pytorch_is_imported_to_say_so(model: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    (model / "good.txt").write_text("hello " * 100)
    lines = commands(model, missing)
    lines.append(["generate", "--board=host", f"--model={model}", f"--tokenizer={missing}"])
    (model / "model.safetensors").write_bytes(b"cut")
    lines.append(["generate", "--board=host", f"--model={model}"])
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join("\x1f".join(line) for line in lines),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(load.__file__).parents[2])},
        timeout=120,
        check=True,
    )
    assert finished.stdout == f"{[INVALID] * len(lines)} False False\n", finished.stderr
    assert finished.stderr.count("error: ") == len(lines)


# ---- mutated files: whatever is in them, an error of ours or a tokenizer that both sides read alike


@pytest.mark.parametrize("start", range(0, 160, 40))
def test_mutated_tokenizers(start: int, model: Path) -> None:
    """Refused in words, or (where the device takes it) of the very vocabulary that the library reads."""
    from mcu_sdk.errors import McuSdkError
    from mcu_sdk.model.tokenizer import compile_tokenizer, device_tables, encode, load_tokenizer

    content = json.loads((model / "tokenizer.json").read_text())
    outcomes = set()
    for seed in range(start, start + 40):
        (model / "tokenizer.json").write_text(json.dumps(mutated(content, seed)))
        try:
            tables, _, _ = device_tables(model, 300)
            tokenizer = load_tokenizer(model)
            assert tokenizer is not None
            if tables is not None:
                compiled = compile_tokenizer(model / "tokenizer.json")
                for index, token in enumerate(compiled.token_bytes):
                    assert not token or tokenizer.decode([index], skip_special_tokens=False), (seed, index)
            encode(tokenizer, "hello <in>")
            outcomes.add(True)
        except McuSdkError as error:
            assert len(str(error)) < 1200 and "\n" not in str(error), seed
            outcomes.add(False)
    assert outcomes == {True, False}
