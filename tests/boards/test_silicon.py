"""Boards that no emulator knows: their firmware from reset to the verdict, and every register that it touches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.project.trial import NotCompiled, measure
from mcu_sdk.targets.protocol import Transcript
from tests.boards.bus import Bus, Mutation
from tests.boards.chips import CHECKED, chip_of
from tests.boards.conftest import NUMBER, REQUEST, transcript_of
from tests.boards.firmware import Workshop, scalar
from tests.boards.machine import Machine, MachineError
from tests.boards.registers import Register
from tests.project.conftest import make_inputs

Elf = Callable[[str], Path]

BAUD_TOLERANCE = 0.02


def complaints(board: Board, bus: Bus) -> list[str]:
    """What is wrong with what a firmware did to the chip's registers, and with the clocks that come of it."""
    found = list(bus.wrong)
    chip, uart = bus.chip, board.uart
    assert uart is not None and board.clock is not None
    for what, hz, meant in (
        ("the processor", chip.core_hz(bus), board.clock.core_hz),
        ("the UART", chip.uart_hz(bus), uart.clock_hz),
    ):
        if abs(hz / meant - 1) > 0.001:
            found.append(f"{what} runs at {hz:,.0f} Hz; the board.toml says {meant:,}")
    if chip.final(bus):
        found.append(chip.final(bus))
    baud = chip.baud(bus)
    if abs(baud / uart.baud - 1) > BAUD_TOLERANCE:
        found.append(f"the baud rate is {baud:,.0f}; {uart.baud:,} is meant")
    return found


@pytest.mark.parametrize("name", CHECKED)
def test_from_reset_to_the_verdict(name: str, scalar_elf: Elf, on_this_computer: Transcript) -> None:
    board = scalar(load_board(name))
    run = Machine(board, chip_of(name), scalar_elf(name)).run(REQUEST.encode(NUMBER))
    answer = transcript_of(run.output)
    assert answer.verdict == "ok", run.output
    assert answer.digest == on_this_computer.digest and answer.ids == on_this_computer.ids
    assert answer.facts["counter"] == "cycles" and (answer.number("cycles_total") or 0) > 0
    assert complaints(board, run.bus) == []


def unchanged(register: Register | None, address: int, value: int) -> tuple[int, int]:
    return address, value


def answer_of(output: bytes) -> bytes:
    """What a firmware said, without the cycles that it took."""
    return re.sub(rb"cycles_\w+=\d+", b"", output)


def trouble(board: Board, elf: Path, mutate: Mutation = unchanged, right: bytes | None = None) -> list[str]:
    """The complaints about a firmware whose writes to registers are changed, from reset to its answer, which is `right`."""
    machine = Machine(board, chip_of(board.name), elf)
    machine.bus.mutate = mutate
    try:
        run = machine.run(REQUEST.encode(NUMBER))
    except MachineError as error:
        return [str(error)]
    other = right is not None and answer_of(run.output) != right
    return complaints(board, machine.bus) + ([f"the answer is {run.output!r}"] if other else [])


def mutants(bus: Bus, board: Board) -> Iterator[tuple[str, Mutation]]:
    """A firmware with one thing wrong in it, for each register that the right one writes."""

    def change(name: str, changed: Callable[[int, int], tuple[int, int]]) -> Mutation:
        names = bus.chip.writers(name)
        return lambda register, address, value: (
            changed(address, value)
            if register is not None and register.full_name in names
            else (address, value)
        )

    def reserved(bits: int) -> Callable[[int, int], tuple[int, int]]:
        return lambda address, value: (address, value ^ (bits & -bits))

    for name, register in bus.written.items():
        if register.reserved & register.reset_mask:
            yield f"a reserved bit of {name}", change(name, reserved(register.reserved & register.reset_mask))
        yield f"{name} elsewhere", change(name, lambda address, value: (address ^ 0x00F0_0000, value))
    gates = [
        bus.chip.gates[peripheral] for peripheral in dict.fromkeys(r.peripheral for r in bus.used.values())
    ]
    for gate in dict.fromkeys(
        [*gates, *(gate for gates in bus.chip.memory_gates.values() for gate in gates.split())]
    ):
        if gate and bus.is_on(gate):
            register, mask = _gate(bus, gate.removeprefix("!"))
            kept = mask if gate.startswith("!") else 0
            off = change(register.full_name, lambda a, v, mask=mask, kept=kept: (a, v & ~mask | kept))  # type: ignore[misc]
            yield f"{gate} stays off", off


def _gate(bus: Bus, gate: str) -> tuple[Register, int]:
    name, _, field = gate.rpartition(".")
    register = bus.chip.registers.named(name)
    return register, register.field(field).mask


@pytest.mark.parametrize("name", CHECKED)
def test_what_is_wrong_is_noticed(name: str, scalar_elf: Elf) -> None:
    board, elf = scalar(load_board(name)), scalar_elf(name)
    machine = Machine(board, chip_of(name), elf)
    run = machine.run(REQUEST.encode(NUMBER))
    bus, right = run.bus, answer_of(run.output)
    assert trouble(board, elf, unchanged, right) == [], "otherwise what follows shows nothing"
    tried = 0
    for what, mutation in mutants(bus, board):
        assert trouble(board, elf, mutation, right), f"{name}: nobody noticed {what}"
        tried += 1
    assert tried > len(bus.written)


def changed_bits(board: Board, elf: Path) -> Iterator[tuple[Register, int, int]]:
    """Each bit that the firmware writes otherwise than it is before: its register, the bit, and what that is."""
    machine = Machine(board, chip_of(board.name), elf)
    bus, found = machine.bus, dict[str, int]()

    def watch(register: Register | None, address: int, value: int) -> tuple[int, int]:
        if register is not None and register.address == address:
            changed = (value ^ bus.first_value(register)) & register.all_bits
            found[register.full_name] = found.get(register.full_name, 0) | changed
        return address, value

    bus.mutate = watch
    machine.run(REQUEST.encode(NUMBER))
    for name, bits in found.items():
        register = bus.chip.registers.named(name)
        for bit in (1 << i for i in range(8 * register.size)):
            if bits & bit:
                yield register, bit, bus.first_value(register) & bit


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKED)
def test_every_bit_that_is_forgotten_is_noticed(name: str, scalar_elf: Elf) -> None:
    """Each bit that the firmware changes, left as it was before: a clock that is not turned on, a divider, a pin."""
    board, elf = scalar(load_board(name)), scalar_elf(name)
    right = answer_of(Machine(board, chip_of(name), elf).run(REQUEST.encode(NUMBER)).output)
    assert trouble(board, elf, unchanged, right) == []
    unnoticed: dict[str, int] = {}
    for register, bit, before in changed_bits(board, elf):

        def forget(
            written: Register | None,
            address: int,
            value: int,
            register: Register = register,
            bit: int = bit,
            before: int = before,
        ) -> tuple[int, int]:
            return address, value & ~bit | before if written is register else value

        if not trouble(board, elf, forget, right):
            unnoticed[register.full_name] = unnoticed.get(register.full_name, 0) | bit
    assert {name: hex(bits) for name, bits in unnoticed.items()} == {
        name: hex(bits) for name, bits in chip_of(name).free.items()
    }


@pytest.mark.parametrize("name", CHECKED)
def test_a_wrong_baud_rate_is_noticed(name: str, workshop: Workshop) -> None:
    """A UART that is said to run 5 % faster than it does."""
    board = scalar(load_board(name))
    assert board.uart is not None
    wrong = board.uart.model_copy(update={"clock_hz": board.uart.clock_hz * 105 // 100})
    elf = workshop.tiny(board.model_copy(update={"uart": wrong}))
    with workshop.objects["sdk/platform/board.cpp"].open("rb") as file:
        variables = [
            s.name
            for s in ELFFile(file).iter_sections()
            if s.name.startswith((".data", ".bss")) and s["sh_size"]
        ]
    assert not variables, "board_start() runs before they have their values"
    found = trouble(board, elf)
    assert any("baud rate" in text for text in found)


def test_a_board_source_without_its_function_does_not_link(workshop: Workshop) -> None:
    patch = {"sdk/platform/board.cpp": ("void board_start()", "void start_board()")}
    with pytest.raises(NotCompiled, match=r"undefined reference to `board_start\(\)'"):
        workshop.tiny(load_board("nrf52840-dk"), patch)


@pytest.mark.parametrize("name", ["mimxrt1060-evk", "pico2", "frdm-k64f"])
def test_what_lies_before_the_code_does_not_keep_it_from_being_measured(name: str) -> None:
    """A boot header, and words that every image has: `generate` would fall back to a guess without a word."""
    assert measure(make_inputs(name)) is not None
