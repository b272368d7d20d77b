"""`mcu-sdk compare`: several projects in one table, and the choices that it makes itself."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from mcu_sdk import cli, variants
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.options import GenerateRequest
from mcu_sdk.planning.bound import Bound, RegionReads
from mcu_sdk.project.accuracy import Accuracy
from mcu_sdk.project.compare import Compared, rows_of, to_markdown, to_tables
from mcu_sdk.project.report import RegionUse, Report
from mcu_sdk.targets.protocol import Transcript

Capture = pytest.CaptureFixture[str]


@pytest.mark.slow
def test_two_projects_are_measured(tensor_project: Path, capsys: Capture) -> None:
    arguments = ["compare", str(tensor_project), f"{tensor_project}/."]
    assert cli.run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = (one["report"] for one in found)
    assert first == second and first["flash_bytes"] > 0 and first["run"]["instructions_last"] > 0
    assert cli.run([*arguments, "--markdown"]) == 0
    out = capsys.readouterr().out
    assert f"| flash or image | {first['flash_bytes']:,} | {first['flash_bytes']:,} |" in out
    assert f"| instructions of the last step | {first['run']['instructions_last']:,} |" in out
    assert cli.run(arguments) == 0
    assert "in dtcm" in capsys.readouterr().out


def test_what_is_known_of_any_has_a_row_and_nothing_else_does() -> None:
    bound = Bound(100_000_000, 1, 1000, "measured", (RegionReads("flash", 10**6, 10**8),), "token")
    accuracy = Accuracy(0.0123, top1_agreement=0.985)
    run = Transcript("", {"instructions_last": "1000"})
    regions = (RegionUse("flash", 10, 100), RegionUse("unused", 0, 5))
    left = Report("a", "x", flash=10, ram=3, regions=regions, bound=bound, accuracy=accuracy, run=run)
    compared = [
        Compared("a", left),
        Compared("b|c", Report("b", "host")),
        Compared("d", None, "does not fit"),
    ]
    assert dict(rows_of(compared)) == {
        "board": ["x", "host", "-"],
        "flash or image": ["10", "-", "-"],
        "RAM": ["3", "-", "-"],
        "  in flash": ["10 of 100", "-", "-"],
        "instructions of the last step": ["1,000", "-", "-"],
        "at most in a second (a bound)": ["100 tokens, by flash", "-", "-"],
        "error of the outputs (RMS)": ["0.0123", "-", "-"],
        "choices like the original's": ["98.5 %", "-", "-"],
        "note": ["-", "-", "does not fit"],
    }
    assert to_markdown(compared).splitlines()[0] == "| | a | b\\|c | d |"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_width_breaks_a_word(width: int) -> None:
    regions = (RegionUse("SRAM_SECURE", 123_456, 2_097_152),)
    titles = ["int8, 256 positions", "shakespeare-corstone-300", "c", "tinystories-nucleo-n657x0-q", "e"]
    compared = [
        Compared(title, Report("a", "mimxrt1060-evk", flash=1_234_567, regions=regions)) for title in titles
    ]
    compared.append(Compared("f", None, "does not fit: SRAM_SECURE is over by 1,234 bytes"))
    tables = to_tables(compared, width)
    console = Console(width=width, file=io.StringIO(), highlight=False)
    for table in tables:
        console.print(table)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    told = [one.title for one in compared] + [text for _, values in rows_of(compared) for text in values]
    words = {word for text in told for word in text.split()}
    assert words <= set(shown.split())
    assert shown.count("mimxrt1060-evk") == len(titles)
    assert len(tables) > 1


@pytest.mark.slow
def test_variants_are_made_and_what_does_not_fit_is_told(
    tensor_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: list[GenerateRequest] = []

    def generate(request: GenerateRequest) -> SimpleNamespace:
        asked.append(request)
        if request.compile_options.weights == "int8":
            raise DoesNotFitError("flash is over by 7 bytes.")
        return SimpleNamespace(project=tensor_project)

    monkeypatch.setattr(variants, "generate", generate)
    monkeypatch.setattr(variants, "LENGTHS", (16, 32))
    monkeypatch.setattr(variants, "cache_lengths", lambda model: [16, 32])
    assert cli.run(["compare", "--variants", "--out", str(tmp_path / "made"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    titles = ["int8, cache 16", "int8, cache 32", "int4, cache 16", "int4, cache 32"]
    assert [one["title"] for one in found] == titles
    assert found[0]["note"] == "does not fit: flash is over by 7 bytes." and found[0]["report"] is None
    assert found[3]["report"]["flash_bytes"] > 0
    assert [request.compile_options.cache_length for request in asked] == [16, 32, 16, 32]
    assert {request.output.parent for request in asked if request.output} == {tmp_path / "made"}


def test_lengths_are_the_models(checkpoint: Callable[[str], Path]) -> None:
    folder = str(checkpoint("llama-odd"))
    longest = json.loads((Path(folder) / "config.json").read_text())["max_position_embeddings"]
    assert variants.cache_lengths(folder, [1, longest, longest + 1]) == [1, longest]
    assert variants.cache_lengths(folder, [longest + 1]) == [longest]


@pytest.mark.slow
def test_real_variants(checkpoint: Callable[[str], Path], tmp_path: Path, capsys: Capture) -> None:
    arguments = ["compare", "--variants", "--model", str(checkpoint("llama-mha-tied")), "--json"]
    assert cli.run([*arguments, "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    sizes = {one["title"].split(",")[0]: one["report"]["weights_bytes"] for one in found}
    assert sizes["int4"] < sizes["int8"]
    assert all(one["report"]["accuracy"]["relative_rms_error"] > 0 for one in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "No projects to compare"),
        (["--variants", "x"], "makes the projects itself"),
        (["x", "--out", "y"], "are for --variants"),
        (["none"], "not a project"),
        (["x", "--json", "--markdown"], "exclude each other"),
    ],
)
def test_what_cannot_be_compared(arguments: list[str], words: str, capsys: Capture) -> None:
    assert cli.run(["compare", *arguments]) == 2
    assert words in capsys.readouterr().err
