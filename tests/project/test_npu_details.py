"""What a report says of the NPU's part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mcu_sdk.npu.cycles.estimate import OperationCycles, StreamCycles
from mcu_sdk.npu.vela import LayerEstimate, VelaSummary
from mcu_sdk.project.npu_details import SHOWN_LAYERS, NpuDetails, details_files, read_details


def details(*names: str) -> NpuDetails:
    layers = tuple(
        LayerEstimate(f"layer{i}", "Conv2D", "Conv2D" if i else "Mul", 100 * (i % 7), 10 * i, 64, (i,))
        for i in range(15)
    )
    operations = tuple(
        OperationCycles(i, "NPU_OP_CONV", 100 * (i % 7) + 50 * (i == 0), 10 * i, 0, 0, 0, 0, 0, 7, 5, 3)
        for i in range(15)
    )
    stream = StreamCycles("ethos-u55-128", "System", "Shared_Sram", 500e6, 128, operations)
    summary = VelaSummary(
        "Ethos_U55_128", "System", "Shared_Sram", True, 500e6, 5_000_000, 900, 4096, 0, 8192, 100, 90, layers
    )
    left = tuple({"operator": "aten.sort", "name": name, "reason": "not in TOSA"} for name in names)
    return NpuDetails(operations=30, calls=10, left=left, estimates=(summary,), cycles=(stream,))


def test_estimates_are_called_estimates_and_time_follows_from_the_clock() -> None:
    rows = dict(replace(details("sort"), cycles=()).rows())
    assert rows["  operations on it"] == "30 of 40 (75.0 %)"
    assert rows["  on the processor"] == "aten.sort: not in TOSA"
    assert rows["    cycles"] == "5,000,000 (10.00 ms at 500 MHz)"
    assert "no measurements" in rows["  Vela's estimates"]
    assert rows["    SRAM used"] == "4,096 bytes" and rows["    flash used"] == "8,192 bytes"
    assert rows["    weights"] == "90 bytes, packed, of 100"
    assert "estimates by layer" in details().to_markdown() and details().to_markdown().count("| layer") == 16


def test_an_operator_that_stayed_for_one_reason_is_named_once() -> None:
    rows = dict(details("sort", "sort_1", "sort_2").rows())
    assert rows["  on the processor"] == "aten.sort (3 times): not in TOSA"


def test_the_slowest_layers_come_first() -> None:
    cycles = [layer.cycles for layer in details().slowest_layers()]
    assert cycles == sorted(cycles, reverse=True) and len(cycles) == SHOWN_LAYERS and cycles[0] == 600


def test_our_estimates_stand_beside_velas_and_say_where_they_differ() -> None:
    found = dict(details().rows())
    assert "no measurements" in found["  our estimates"] and "System, Shared_Sram" in found["  our estimates"]
    assert found["    cycles"] == "4,250 (0.01 ms at 500 MHz), -100 % of Vela's"
    assert found["    constants read"] == "150 bytes, 45 of them commands"
    assert found["    scratch moved"] == "75 bytes"
    assert found["    not Vela's by 25 %"] == "Mul 50 (0): ours (Vela's)"
    data = details().to_json()
    assert data["our_estimates"][0]["cycles"] == 4250 and data["our_estimates"][0]["estimated"]
    kinds = {kind["npu_operator"]: kind for kind in data["layers_by_kind"]}
    assert kinds["Mul"]["apart"] and not kinds["Conv2D"]["apart"] and data["layers_apart"] == 1
    assert "| layer3 | Conv2D | Conv2D | 300 | 300 | 30 | 64 |" in details().to_markdown()


def test_unknown_estimates_are_said_to_be_unknown() -> None:
    assert "not known" in dict(NpuDetails(1, 1).rows())["  Vela's estimates"]
    assert "not known" in dict(NpuDetails(1, 1).rows())["  our estimates"]
    without = replace(details(), cycles=())
    assert "| layer3 | Conv2D | Conv2D | 300 | | 30 | 64 |" in without.to_markdown()
    assert without.to_json()["layers_by_kind"] == []
    assert NpuDetails(1, 1).to_markdown() == ""


def test_a_project_keeps_them(tmp_path: Path) -> None:
    for name, data in details_files(details("sort")).items():
        (tmp_path / name).write_bytes(data)
    assert read_details(tmp_path) == details("sort")
    content = json.loads((tmp_path / "npu.json").read_text())
    del content["cycles"]  # as before there were any
    (tmp_path / "npu.json").write_text(json.dumps(content))
    assert read_details(tmp_path) == replace(details("sort"), cycles=())
    (tmp_path / "npu.json").write_text("{}")
    assert read_details(tmp_path) is None
    assert read_details(tmp_path / "nowhere") is None


def test_of_prompts_there_is_what_a_token_takes(tmp_path: Path) -> None:
    both = NpuDetails(operations=0, calls=80, prefill=replace(details("sort"), tokens=16))
    rows = both.rows()
    assert rows[:2] == [("  a step", "all of it on the processor"), ("  a prompt", "16 tokens at once")]
    assert [value for label, value in rows if label == "    a prompt token"] == [
        "312,500 cycles",
        "266 cycles",
    ]
    told = both.to_json()["prefill"]
    assert told["tokens"] == 16 and told["cycles_per_prompt_token"] == 312_500
    assert told["our_cycles_per_prompt_token"] == 266
    assert (
        "16 tokens of a prompt at once" in both.to_markdown() and len(both.slowest_layers()) == SHOWN_LAYERS
    )
    for name, data in details_files(both).items():
        (tmp_path / name).write_bytes(data)
    assert read_details(tmp_path) == both
    content = json.loads((tmp_path / "npu.json").read_text())
    for damaged in ([], {}, {**content["prefill"], "tokens": "16"}):
        (tmp_path / "npu.json").write_text(json.dumps({**content, "prefill": damaged}))
        assert read_details(tmp_path) is None
    unknown = replace(both, prefill=replace(details(), estimates=(), cycles=(), tokens=16))
    assert unknown.to_json()["prefill"]["cycles_per_prompt_token"] is None
