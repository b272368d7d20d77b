"""`run --profile`: exact counts for each call, and a firmware that has nothing of it unless it was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import mcu_sdk
from mcu_sdk import cli
from mcu_sdk.board.board import load_board
from mcu_sdk.errors import RunError, UsageError
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project import profile
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.profile import Cost, by_kind, costs, total
from mcu_sdk.regeneration import make_profiled

Capture = pytest.CaptureFixture[str]
CORE = load_board("corstone-300").core


@pytest.fixture(scope="module")
def pte(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two linears with a LayerNorm between them."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 48), torch.nn.LayerNorm(48), torch.nn.Linear(48, 16))
    path = tmp_path_factory.mktemp("pte") / "small.pte"
    mcu_sdk.compile_module(model, torch.randn(1, 32), output=path)
    return path


@pytest.fixture(scope="module")
def project(pte: Path) -> Path:
    return generate(
        GenerateRequest("corstone-300", CompileOptions(), pte=pte, output=pte.parent / "p")
    ).project


def run_json(capfd: Capture, *arguments: str) -> dict:
    capfd.readouterr()
    assert cli.run([*arguments, "--json"]) == 0, capfd.readouterr().err
    return json.loads(capfd.readouterr().out)


def test_the_calls_add_up_to_the_step(project: Path, capfd: Capture) -> None:
    """A step is its calls, a call and a return of its own, and what the compiler keeps in registers from one call to
    the next (a mark between them takes that away): a few instructions a call, of some thousand."""
    plain = run_json(capfd, "run", str(project), "--steps", "2")["run"]["instructions_last"]
    found = run_json(capfd, "run", str(project), "--steps", "2", "--profile")
    again = run_json(capfd, "run", str(project), "--steps", "2", "--profile")
    assert found == again and found["position"] == 1
    calls = found["calls"]
    operators = [call["operator"] for call in calls]
    linear, norm = "mcu::linear_s8_static", "mcu::layer_norm_s8"
    assert operators[1:] == [linear, norm, linear] and len(operators) == 4
    assert all(call["instructions"] > call["ideal"] > 0 for call in calls)
    assert abs(found["total"]["instructions"] - plain) <= 8 * len(calls) + 8


def test_the_firmware_has_nothing_of_it(project: Path) -> None:
    twin, _ = make_profiled(open_project(project))
    for file in project.rglob("*"):
        inside = file.relative_to(project)
        if file.suffix in (".cpp", ".h", ".txt") and inside.parts[0] != "build":
            text = file.read_text().replace("#ifdef MCU_PROFILE\n    model::print_profile();\n#endif\n", "")
            assert "profile" not in text.lower(), inside
    assert (twin / "sdk" / "runtime" / "profile.cpp").is_file()


def test_a_table_for_people(project: Path, capsys: Capture) -> None:
    assert cli.run(["run", str(project), "--profile"]) == 0
    shown = capsys.readouterr().out
    assert "mcu::layer" in shown and "total" in shown and "100.0" in shown


def test_what_does_not_go_with_a_profile(project: Path, pte: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["run", str(project), "--profile", "--port", "/dev/null"]) == 2
    assert cli.run(["run", str(project), "--profile", "--markdown"]) == 2
    capsys.readouterr()
    host = generate(GenerateRequest("host", CompileOptions(), pte=pte, output=tmp_path / "host")).project
    with pytest.raises(UsageError, match="has no counter"):
        make_profiled(open_project(host))
    # On this computer nothing counts instructions.
    assert cli.run(["run", str(project), "--profile", "--simulator", "host"]) == 2
    assert "simulator" in capsys.readouterr().err


def test_counts_have_to_be_the_plans(pte: Path) -> None:
    plan = compile_plan(read_pte(pte.read_bytes()))
    rows = costs(plan, range(100, 100 + len(plan.calls)), 0, CORE)
    assert [row.instructions for row in rows] == list(range(100, 100 + len(plan.calls)))
    with pytest.raises(RunError, match="was expected to count"):
        costs(plan, [1, 2], 0, CORE)


def test_rows_of_one_kind_are_added_up() -> None:
    rows = [
        Cost("mcu::linear_s8", "layers.0.q_proj", 1, 10, 4),
        Cost("mcu::linear_s8", "layers.11.q_proj", 1, 12, 4),
        Cost("mcu::linear_s8", "fc2", 1, 100, 50),
        Cost("mcu::rms_norm", "layers.0.q_proj", 1, 1, 0),
    ]
    assert by_kind(rows) == [
        Cost("mcu::linear_s8", "fc2", 1, 100, 50),
        Cost("mcu::linear_s8", "layers.*.q_proj", 2, 22, 8),
        Cost("mcu::rms_norm", "layers.*.q_proj", 1, 1, 0),
    ]
    assert total(rows) == Cost("total", "", 4, 123, 58)
    assert Cost("x", "", 1, 5, 0).ratio is None and rows[0].ratio == 2.5


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_breaks_no_word(width: int) -> None:
    from io import StringIO

    from rich.console import Console

    rows = [
        Cost(
            "mcu::cache_write_columns_dynamic_",
            "model.layers.3.self_attn.some_long_projection",
            1,
            123_456,
            99_999,
        ),
        Cost("mcu::linear_s8", "lm_head", 1, 12_345_678, 10_000_000),
    ]
    out = StringIO()
    console = Console(file=out, width=width, highlight=False)
    console.print(profile.to_table(rows, "bundled", width))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for word in (
        "mcu::cache_write_columns_dynamic_",
        "some_long_projection",
        "12,345,678",
        "10,000,000",
        "lm_head",
    ):
        assert word in text
