"""`inspect`: what it finds, in a hand-made program and in files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import flatbuffers
import pytest
import typer
from typer.testing import CliRunner

from mcu_sdk.commands.inspect import describe, inspect, inspect_command
from mcu_sdk.errors import BoardError, PteError, UsageError

OPERATOR = "nobody::has_a_kernel"


def a_program(method: str = "forward", operator: str = OPERATOR, op_index: int = 0) -> bytes:
    """One instruction over one planned tensor f32[4], which is input, output and both arguments."""
    builder = flatbuffers.Builder()

    def table(*fields: tuple[int, str, int]) -> int:
        builder.StartObject(10)
        for slot, kind, value in fields:
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
        return int(builder.EndObject())

    def offsets(*items: int) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return int(builder.EndVector())

    def numbers(kind: str, size: int, *items: int) -> int:
        builder.StartVector(size, len(items), size)
        for item in reversed(items):
            getattr(builder, f"Prepend{kind}")(item)
        return int(builder.EndVector())

    sizes, order = numbers("Int32", 4, 4), numbers("Uint8", 1, 0)
    place = table((0, "Uint32", 1))
    tensor = table(
        (0, "Int8", 6),
        (2, "UOffsetTRelative", sizes),
        (3, "UOffsetTRelative", order),
        (6, "UOffsetTRelative", place),
    )
    value = table((0, "Uint8", 5), (1, "UOffsetTRelative", tensor))
    values = offsets(value)
    arguments = numbers("Int32", 4, 0, 0, 0)
    call = table((0, "Int32", op_index), (1, "UOffsetTRelative", arguments))
    instruction = table((0, "Uint8", 1), (1, "UOffsetTRelative", call))
    instructions = offsets(instruction)
    chains = offsets(table((2, "UOffsetTRelative", instructions)))
    name, out = builder.CreateString(operator), builder.CreateString("out")
    operators = offsets(table((0, "UOffsetTRelative", name), (1, "UOffsetTRelative", out)))
    interface = numbers("Int32", 4, 0)
    memories = numbers("Int64", 8, 0, 16)
    title = builder.CreateString(method)
    plan = table(
        (0, "UOffsetTRelative", title),
        (2, "UOffsetTRelative", values),
        (3, "UOffsetTRelative", interface),
        (4, "UOffsetTRelative", interface),
        (5, "UOffsetTRelative", chains),
        (6, "UOffsetTRelative", operators),
        (8, "UOffsetTRelative", memories),
    )
    builder.Finish(table((1, "UOffsetTRelative", offsets(plan))), b"ET12")
    return bytes(builder.Output())


def test_facts() -> None:
    facts = describe(a_program())
    assert facts["methods"] == [
        {"name": "forward", "computes": True, "instructions": 1, "inputs": ["f32[4]"], "outputs": ["f32[4]"]}
    ]
    assert facts["operators"] == [{"name": f"{OPERATOR}.out", "count": 1, "kernel": False}]
    assert facts["memory"] == {"forward": {1: 16}}
    assert facts["constants"] == {"count": 0, "bytes": 0} and facts["delegates"] == []
    assert OPERATOR in facts["problem"] and facts["arena"] is None


def test_another_method_is_shown_though_it_cannot_be_compiled() -> None:
    facts = describe(a_program(method="encode"))
    assert facts["methods"][0]["name"] == "encode" and facts["methods"][0]["computes"]
    assert "'encode'" in facts["problem"]


def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a [red]model.pte"
    path.write_bytes(a_program())
    inspect(path, json=False)
    shown = capsys.readouterr().out
    for text in ("a [red]model.pte", OPERATOR, "f32[4]", "none", "forward", "no kernel"):
        assert text in shown


def test_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(inspect_command)
    path = tmp_path / "model.pte"
    path.write_bytes(a_program())
    result = CliRunner().invoke(app, [str(path), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["operators"][0]["name"] == f"{OPERATOR}.out"


def test_text_from_the_file_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.pte"
    path.write_bytes(a_program(method="\x1b[2J\nforward"))
    inspect(path, json=False)
    assert "\x1b[2J" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "data", [a_program(op_index=9), a_program(operator="\x1b::x"), a_program()[:200], b"no .pte"]
)
def test_damaged_files(data: bytes) -> None:
    with pytest.raises(PteError) as caught:
        describe(data)
    assert caught.value.exit_code == 3 and str(caught.value).isprintable()


FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"


def test_where_it_would_lie_on_a_board(capsys: pytest.CaptureFixture[str]) -> None:
    path = FIXTURES / "decoder-rows.pte"
    inspect(path, json=True, board="teensy41")
    found = json.loads(capsys.readouterr().out)["where"]
    assert found["board"] == "teensy41" and found["fits"]
    assert {group["operator"] for group in found["constants"]} >= {"mcu::attention_s8", "mcu::rms_norm"}
    inspect(path, json=False, board="teensy41")
    assert "Where it lies on teensy41" in capsys.readouterr().out


def test_what_it_takes_under_executorch_s_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pte").write_bytes(a_program(operator="mcu::silu"))
    inspect(tmp_path / "model.pte", json=True, sizes=True)
    (taken,) = json.loads(capsys.readouterr().out)["executorch"].values()
    # A value, whether it was given, strides and a tensor; a chain, a kernel, its arguments.
    assert taken["method_allocator"] == 16 + (1 + 3) + 4 + 32 + 16 + 4 + 8 + 3 * 4
    assert taken["temporary"] == 3 * (12 + 16) and list(taken["planned"]) == ["1"]
    inspect(tmp_path / "model.pte", json=False, sizes=True)
    assert "method allocator of forward" in " ".join(capsys.readouterr().out.split())


def test_of_what_cannot_be_compiled_it_does_not_tell_the_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.pte").write_bytes(a_program())
    inspect(tmp_path / "model.pte", json=True, sizes=True)
    assert json.loads(capsys.readouterr().out)["executorch"] is None


def test_an_npu_s_arena_lies_where_it_reaches(capsys: pytest.CaptureFixture[str]) -> None:
    path = FIXTURES / "ethos-u-mlp.pte"
    inspect(path, json=True, board="corstone-300")
    assert json.loads(capsys.readouterr().out)["where"]["sections"]["arena"]["region"] != "dtcm"
    with pytest.raises(PteError, match="compiled for ethos-u55-128; the board 'mps2-an386' has cortex-m4"):
        inspect(path, json=True, board="mps2-an386")


def test_an_npu_s_cycles_are_estimated_in_the_board_s_system(capsys: pytest.CaptureFixture[str]) -> None:
    path = FIXTURES / "ethos-u-mlp.pte"
    inspect(path, json=True, board="corstone-300")
    (found,) = json.loads(capsys.readouterr().out)["npu"]
    assert found["estimated"] and found["accelerator"] == "ethos-u55-128"
    assert (found["system_config"], found["memory_mode"]) == ("Ethos_U55_High_End_Embedded", "Shared_Sram")
    operations = {each["name"]: each for each in found["operations"]}
    assert sum(each["cycles"] for each in operations.values()) == found["cycles"] > 0
    assert operations["NPU_OP_CONV"]["macs"] > 0 and operations["NPU_OP_CONV"]["constant_bytes"] > 0
    inspect(path, json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "our estimate, no measurement" in shown and f"{found['cycles']:,} cycles" in shown


def test_a_project_tells_where_it_was_placed(
    tensor_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect(tensor_project, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["where"]["board"] == "corstone-300" and found["where"]["sections"]["arena"]["bytes"]
    assert sum(group["constants"] for group in found["where"]["constants"]) == found["constants"]["count"]
    with pytest.raises(UsageError, match="A project has its board"):
        inspect(tensor_project, json=True, board="corstone-300")


def test_a_board_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="nobody"):
        inspect(FIXTURES / "decoder-rows.pte", json=True, board="nobody")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(PteError, match="cannot be read"):
        inspect(tmp_path / "missing.pte", json=True)
    with pytest.raises(UsageError, match="not a project"):
        inspect(tmp_path, json=True)
