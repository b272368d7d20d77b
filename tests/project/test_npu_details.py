"""What a report says of the NPU's part."""

from __future__ import annotations

from pathlib import Path

from mcu_sdk.npu.vela import LayerEstimate, VelaSummary
from mcu_sdk.project.npu_details import SHOWN_LAYERS, NpuDetails, details_files, read_details


def details() -> NpuDetails:
    layers = tuple(
        LayerEstimate(f"layer{i}", "Conv2D", "Conv2D", 100 * (i % 7), 10 * i, 64) for i in range(15)
    )
    summary = VelaSummary(
        "Ethos_U55_128", "System", "Shared_Sram", True, 500e6, 5_000_000, 900, 4096, 0, 8192, 100, 90, layers
    )
    left = ({"operator": "aten.sort", "name": "sort", "reason": "not in TOSA"},)
    return NpuDetails(operations=30, calls=10, left=left, estimates=(summary,))


def test_estimates_are_called_estimates_and_time_follows_from_the_clock() -> None:
    rows = dict(details().rows())
    assert rows["  operations on it"] == "30 of 40 (75.0 %)"
    assert rows["  on the processor"] == "aten.sort: not in TOSA"
    assert rows["    cycles"] == "5,000,000 (10.00 ms at 500 MHz)"
    assert "no measurements" in rows["  Vela's estimates"]
    assert rows["    SRAM used"] == "4,096 bytes" and rows["    flash used"] == "8,192 bytes"
    assert "estimates by layer" in details().to_markdown() and details().to_markdown().count("| layer") == 16


def test_the_slowest_layers_come_first() -> None:
    cycles = [layer.cycles for layer in details().slowest_layers()]
    assert cycles == sorted(cycles, reverse=True) and len(cycles) == SHOWN_LAYERS and cycles[0] == 600


def test_unknown_estimates_are_said_to_be_unknown() -> None:
    assert "not known" in dict(NpuDetails(1, 1).rows())["  Vela's estimates"]
    assert NpuDetails(1, 1).to_markdown() == ""


def test_a_project_keeps_them(tmp_path: Path) -> None:
    for name, data in details_files(details()).items():
        (tmp_path / name).write_bytes(data)
    assert read_details(tmp_path) == details()
    (tmp_path / "npu.json").write_text("{}")
    assert read_details(tmp_path) is None
    assert read_details(tmp_path / "nowhere") is None
