"""What STM32 chips have in common: their two kinds of USART, and pins that lead to them."""

from __future__ import annotations

from tests.boards.bus import Bus
from tests.boards.registers import Register


def alternate_function(bus: Bus, port: str, pin: int) -> int:
    """Which one a pin has; -1 if it has none ("GPIO": MODER, AFRL, AFRH)."""
    if bus.value(f"{port}.MODER") >> 2 * pin & 3 != 2:
        return -1
    return bus.value(f"{port}.{'AFRL' if pin < 8 else 'AFRH'}") >> 4 * (pin % 8) & 15


class StatusDataUsart:
    """SR and DR, as in RM0090 30.6. `pins`: the transmitter's and the receiver's, (port, pin, alternate function)."""

    def __init__(self, name: str, pins: tuple[tuple[str, int, int], tuple[str, int, int]]) -> None:
        self.name, self.pins = name, pins

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "SR":
            return 0xC0 | (0x20 if bus.waiting and self._on(bus, 1 << 2, 1) else 0)
        return bus.receive() if register.name == "DR" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name != "DR":
            return
        if not self._on(bus, 1 << 3, 0):
            bus.complain("a byte is written to a USART that does not send")
        bus.send(value)

    def _on(self, bus: Bus, direction: int, which: int) -> bool:
        port, pin, function = self.pins[which]
        needed = 1 << 13 | direction
        return (
            bus.value(f"{self.name}.CR1") & needed == needed
            and alternate_function(bus, port, pin) == function
        )


class TwoDataUsart:
    """ISR, RDR and TDR, as in RM0351 40.8 and RM0433 48.7. `pins` as above."""

    def __init__(self, name: str, pins: tuple[tuple[str, int, int], tuple[str, int, int]]) -> None:
        self.name, self.pins = name, pins

    def read(self, bus: Bus, register: Register) -> int | None:
        if register.name == "ISR":
            return 0xC0 | (0x20 if bus.waiting and self._on(bus, 1 << 2, 1) else 0)
        return bus.receive() if register.name == "RDR" else None

    def write(self, bus: Bus, register: Register, value: int) -> None:
        if register.name in ("BRR", "CR3") and bus.value(f"{self.name}.CR1") & 1:
            bus.complain(f"{register.full_name} is written while the USART is on")
        if register.name != "TDR":
            return
        if not self._on(bus, 1 << 3, 0):
            bus.complain("a byte is written to a USART that does not send")
        bus.send(value)

    def _on(self, bus: Bus, direction: int, which: int) -> bool:
        port, pin, function = self.pins[which]
        needed = 1 | direction
        return (
            bus.value(f"{self.name}.CR1") & needed == needed
            and alternate_function(bus, port, pin) == function
        )
