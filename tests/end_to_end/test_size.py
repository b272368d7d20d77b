"""How large firmware is, everything included: the bars for code and RAM on a Cortex-M55, and what they rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cases import CASE_A, CASE_B, CASES
from benchmarks.models import llama_checkpoint, module_pte
from mcu_sdk import cli

KB = 1024
CODE_BARS = {"speed": 20 * KB, "size": 14 * KB}
RAM_BARS = {"A": 24 * KB, "B": 285 * KB, "C": 8 * KB}


def report(capfd: pytest.CaptureFixture[str], project: Path, source: list[str], *options: str) -> dict:
    """What `run` says of the project of a case: sizes from the ELF, the stack from the run."""
    arguments = ["--board", "corstone-300", "--output", str(project), *options]
    assert cli.run(["generate", *source, *arguments]) == 0
    request = ["--steps", "2"] if "--pte" in source else ["--ids", "1,2,3,4", "--tokens", "5"]
    capfd.readouterr()
    assert cli.run(["run", str(project), *request, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def source_of(case: str, shared_folder: Path) -> list[str]:
    found = CASES[case]
    if found.llama is None:
        return ["--pte", str(module_pte("mlp", shared_folder))]
    model = llama_checkpoint(found.llama, found.cache, shared_folder)
    return ["--model", str(model), "--kv-scales", found.cache_scales]


@pytest.mark.slow
@pytest.mark.parametrize("optimize", CODE_BARS)
def test_code_and_constants(
    optimize: str, shared_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Case B has no tokenizer, and its RoPE tables are in the .pte: what is left is all code and constants."""
    source = source_of("B", shared_folder)
    found = report(capfd, tmp_path / "b", source, "--optimize", optimize)
    assert 8 * KB < found["code_bytes"] <= CODE_BARS[optimize]
    symbols = [part["symbol"] for part in found["libraries"]]
    assert set(symbols) <= ({"memcpy", "memset", "strlen"} if optimize == "speed" else set())


@pytest.mark.slow
def test_both_optimizations_give_the_same_bits(
    shared_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = source_of("A", shared_folder)
    fast = report(capfd, tmp_path / "fast", source)
    small = report(capfd, tmp_path / "small", source, "--optimize", "size")
    assert small["run"]["digest"] == fast["run"]["digest"]
    assert small["code_bytes"] < fast["code_bytes"]
    assert small["run"]["instructions_last"] > fast["run"]["instructions_last"]
    assert fast["ram_bytes"] <= RAM_BARS["A"]


@pytest.mark.slow
@pytest.mark.parametrize("case", RAM_BARS)
def test_ram(case: str, shared_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = report(capfd, tmp_path / "p", source_of(case, shared_folder))
    parts = ("arena_bytes", "kv_cache_bytes", "stack_bytes", "other_bytes")
    assert found["ram_bytes"] == sum(found[part] for part in parts)
    assert found["ram_bytes"] <= RAM_BARS[case]
    assert found["run"]["stack_used"] <= found["stack_bound_bytes"] <= found["stack_bytes"]


def test_the_cases_are_those_of_the_bars() -> None:
    assert (CASE_A.cache, CASE_B.cache, CASE_B.llama.hidden) == (64, 128, 256)
