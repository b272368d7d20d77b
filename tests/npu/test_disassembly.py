"""The disassembler against Vela's own listing of the same stream."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.disassembly import disassemble
from mcu_sdk.npu.encodings import definitions
from mcu_sdk.npu.opcodes import Op, Set, SetWide
from mcu_sdk.npu.stream import read_stream
from tests.npu.assembly import STOP, command
from tests.npu.blobs import command_block
from tests.npu.graphs import graphs

LISTED = re.compile(r"^0x([0-9a-f]+): .* - NPU_(\w+) +-?\d+(.*)$", re.MULTILINE)


def _velas_listing(
    tosa: bytes, accelerator: str, capture: pytest.CaptureFixture[str]
) -> tuple[bytes, list[tuple[int, str, dict[str, str]]]]:
    """The blob, and (offset in words, name, fields) of every command as Vela prints them."""
    from executorch.backends.arm.arm_vela import vela_compile
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    spec = EthosUCompileSpec(accelerator, extra_flags=["--verbose-register-command-stream"])
    blob = bytes(vela_compile(tosa, list(spec.compiler_flags)).processed_bytes)
    return blob, [
        (int(offset, 16) // 4, name, dict(re.findall(r"(\w+) = (\S+?)(?:,|$)", fields)))
        for offset, name, fields in LISTED.findall(capture.readouterr().out)
    ]


@pytest.mark.parametrize("accelerator", ["ethos-u55-128", "ethos-u65-512", "ethos-u85-256"])
@pytest.mark.parametrize("graph", ["shift_right", "rescale_8_double"])
def test_agrees_with_vela(accelerator: str, graph: str, capfd: pytest.CaptureFixture[str]) -> None:
    blob, expected = _velas_listing(graphs()[graph](), accelerator, capfd)
    lines = disassemble(read_stream(read_blob(blob).commands))
    assert [(line.index, line.name) for line in lines] == [(index, name) for index, name, _ in expected]
    assert len(lines) > 20
    for line, (_, _, fields) in zip(lines, expected, strict=True):
        assert line.known
        found = {"addr" if name == "address" else name: value for name, value in line.fields.items()}
        assert found.keys() == fields.keys(), line
        for name, value in found.items():
            shown = fields[name]
            if isinstance(value, str):
                assert shown.upper().endswith(f"_{value}"), (line, shown)
            elif shown[0].isdigit():
                assert int(shown, 0) == value, (line, shown)


def test_names_are_velas() -> None:
    from ethosu.vela.ethos_u55_regs.ethos_u55_regs import cmd0, cmd1

    known = definitions("u55")
    for commands, wide in ((cmd0, False), (cmd1, True)):
        for each in commands:
            assert "NPU_" + known[each.value, wide].name == each.name


def test_the_simulator_has_the_same_names() -> None:
    known = definitions("u65")
    for numbers, prefix, wide in ((Op, "OP_", False), (Set, "SET_", False), (SetWide, "SET_", True)):
        for each in numbers:
            assert known[each.value, wide].name == prefix + each.name
    assert len(known) == len(Op) + len(Set) + len(SetWide)


@pytest.mark.parametrize("family", ["u55", "u65", "u85"])
def test_fields_fill_their_words(family: str) -> None:
    for definition in definitions(family).values():
        width = sum(field.width for field in definition.fields)
        assert width == (48 if definition.wide else 16), definition.name


@given(
    words=st.lists(
        st.tuples(st.integers(0, 0x3FF), st.integers(0, 0xFFFF), st.none() | st.integers(0, 2**32 - 1)),
        max_size=20,
    )
)
def test_any_stream_is_shown(words: list[tuple[int, int, int | None]]) -> None:
    stream = []
    for opcode, parameter, payload in words:
        stream.append(opcode | parameter << 16 | (0 if payload is None else 0x4000))
        stream += [] if payload is None else [payload]
    lines = disassemble(read_stream(command_block([*stream, STOP])))
    assert len(lines) == len(words) + 1
    assert all(str(line) for line in lines)


def test_unknown_and_reserved_are_marked() -> None:
    first, second, _ = disassemble(read_stream(command_block([0x3F0, 0x0008_010F, STOP])))
    assert not first.known and first.name == "unknown 0x3f0"
    assert second.fields == {"region": 0, "reserved_3": 1}


def test_a_line() -> None:
    lines = disassemble(read_stream(command_block([*command("SET_IFM_BASE0", 0x1234), STOP])))
    assert str(lines[0]).split() == ["0", "SET_IFM_BASE0", "address=0x1234"]
