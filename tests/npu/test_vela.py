"""Vela's CSV files as rows by layer, and their way through JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcu_sdk.npu.artifact import DelegateArtifact
from mcu_sdk.npu.vela import VelaSummary, read_summary

SUMMARY = """\
experiment,network,accelerator_configuration,system_config,memory_mode,core_clock,sram_memory_used,\
dram_memory_used,on_chip_flash_memory_used,off_chip_flash_memory_used,total_original_weights,\
total_npu_encoded_weights,nn_macs,cycles_total
default,out,Ethos_U55_128,Ethos_U55_High_End_Embedded,Shared_Sram,500000000.0,3.8125,0.0,1.0,250.5,237568,231552,\
239876,268090.0
"""
LAYERS = """\
Original Operator,NNG Operator,Target,Staging Usage,Peak% (Staging),Op Cycles,Network% (cycles),NPU,SRAM AC,\
DRAM AC,OnFlash AC,OffFlash AC,MAC Count,Network% (MAC),Util% (MAC),Name
Rescale,Add,NPU,2512,64.3,26,0.0096,26,2,0,0,8,0,0.0,0.0,first
Conv2D,Conv2D,NPU,2832,72.5,8576,3.19,2684,24,0,0,8576,8192,3.4,0.74,tosa_rescale_default_10
"""
DATABASE = """\
<?xml version='1.0' encoding='UTF-8'?>
<debug source="out">
<table name="perf">
<![CDATA[
"id","source_id","name"
11,248,"first"
12,250,"a,b"
]]>
</table>
<table name="queue">
<![CDATA[
"offset","cmdstream_id","optimised_id","scheduled_id"
264,1,4456,12
404,1,4455,12
120,1,4450,11
]]>
</table>
</debug>
"""


def write(folder: Path, summary: str = SUMMARY, database: str = DATABASE) -> Path:
    (folder / "out_summary_Ethos_U55_High_End_Embedded.csv").write_text(summary)
    (folder / "out_per-layer.csv").write_text(LAYERS)
    (folder / "out_debug.xml").write_text(database)
    return folder


def test_summary_counts_bytes_cycles_and_layers(tmp_path: Path) -> None:
    summary = read_summary(write(tmp_path))
    assert summary.estimated
    assert (summary.cycles, summary.macs) == (268090, 239876)
    assert summary.sram_bytes == 3904  # 3.8125 KiB
    assert summary.flash_bytes == 257536  # both flashes, 251.5 KiB
    assert [layer.npu_operator for layer in summary.layers] == ["Add", "Conv2D"]
    assert summary.layers[1].cycles == 8576 and summary.layers[1].macs == 8192
    assert summary.layers[1].memory_bytes == 2832
    assert [layer.commands for layer in summary.layers] == [(30,), (66, 101)]  # words


def test_artifact_survives_its_files(tmp_path: Path) -> None:
    artifact = DelegateArtifact("step", b"TOSA\0\1", read_summary(write(tmp_path)))
    files = artifact.files()
    assert tuple(files) == DelegateArtifact.file_names("step")
    assert DelegateArtifact.from_files("step", files) == artifact
    data = json.loads(files["step.json"])
    assert VelaSummary.from_json(data) == artifact.vela_summary


@pytest.mark.parametrize(
    ("key", "value"),
    [("cycles", "many"), ("core_clock_hz", None), ("layers", [{}]), ("layers", 3), ("macs", 1.5)],
)
def test_other_types_than_were_written_are_errors(tmp_path: Path, key: str, value: object) -> None:
    data = read_summary(write(tmp_path)).to_json()
    with pytest.raises(TypeError):
        VelaSummary.from_json({**data, key: value})
    data["layers"][0]["cycles"] = "x"
    with pytest.raises(TypeError, match="cycles is 'x'"):
        VelaSummary.from_json(data)
    data["layers"][0].update(cycles=1, commands=["x"])
    with pytest.raises(TypeError, match="commands are"):
        VelaSummary.from_json(data)


def test_missing_file_and_column_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_summary(tmp_path)
    write(tmp_path, SUMMARY.replace("cycles_total", "cycles"))
    with pytest.raises(KeyError, match="cycles_total"):
        read_summary(tmp_path)
    write(tmp_path, database=DATABASE.replace('"queue"', '"line"'))
    with pytest.raises(KeyError, match="queue"):
        read_summary(tmp_path)
