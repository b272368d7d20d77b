"""How fast each NPU's parts are, as Arm's own performance model has them.

Sources: `output_cycles_per_elem`, `activation_cycles_per_elem` and `ofm_ublock` of ethosu/vela/architecture_features.py in
ethos-u-vela 5.1.0 (U55, U65); s_EthosU85PerfInfo and s_EthosU85Configs of regor/architecture/ethosu85/ethos_u85.cpp in the
same compiler's sources (U85). They are what Arm's compiler decides by, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.npu.accelerator import Accelerator


@dataclass(frozen=True)
class Rates:
    """Of a U55 or U65. `ublock` (height, width, depth) is what the MAC array works on at once, 8 input channels of it in
    a cycle. The others are the output stage's cycles for one element:

    unary_32, binary_32   elementwise on inputs of 32 bits
    product_32, product   multiplications with an output of 32 bits, and of fewer; `product` also what comes out of
                          accumulators of 40 bits
    sum, scaled_sum       additions and subtractions; scaled_sum where one operand is scaled by 32 bits
    maximum, other        a pool's maximum; everything else
    table                 at least, where a look-up table follows
    """

    ublock: tuple[int, int, int]
    unary_32: float
    binary_32: float
    product_32: float
    product: float
    sum: float
    scaled_sum: float
    maximum: float
    other: float
    table: float


@dataclass(frozen=True)
class RatesU85:
    """Of a U85: the output stage's cycles for an element by the output's bits; `chained_32` where an operand or a result of
    32 bits stays inside, or one of fewer bits is made of two of 32; `binary_32` elementwise on 32 bits. An output whose
    rows and columns change places takes `turned`, at least. The `..._in_flight` are bytes that its buffers have room for:
    asked for, and not there yet. Arm's model uses 0.8 of them."""

    by_bits: dict[int, float]
    chained_32: float
    binary_32: float
    turned: float
    weight_buffer: int
    copy_buffer: int

    @property
    def weights_in_flight(self) -> float:
        return _USED * self.weight_buffer

    @property
    def scales_in_flight(self) -> float:
        return _USED * _SCALE_BUFFER

    @property
    def copies_in_flight(self) -> float:
        """Of a DMA."""
        return _USED * self.copy_buffer


_USED = 0.8
_SCALE_BUFFER = 256

DIVISION = 33.0
"""Cycles of a U85's elementwise division, for an element."""

RATES = {
    "ethos-u55-32": Rates((1, 1, 4), 2.0, 3.0, 3.0, 3.0, 4.0, 6.0, 1.0, 2.0, 1.0),
    "ethos-u55-64": Rates((1, 1, 8), 1.0, 1.5, 1.5, 1.5, 2.0, 3.0, 0.5, 1.0, 1.0),
    "ethos-u55-128": Rates((1, 2, 8), 0.75, 1.25, 0.75, 0.75, 1.0, 1.5, 0.25, 0.5, 1.0),
    "ethos-u55-256": Rates((2, 2, 8), 0.625, 1.125, 0.5, 0.375, 0.5, 0.75, 0.125, 0.25, 1.0),
    "ethos-u65-256": Rates((2, 2, 8), 0.625, 1.125, 0.5, 0.375, 0.5, 0.75, 0.125, 0.25, 1.0),
    "ethos-u65-512": Rates((2, 2, 8), 0.3125, 0.5625, 0.25, 0.1875, 0.25, 0.375, 0.0625, 0.125, 0.5),
}

RATES_U85 = {
    "ethos-u85-128": RatesU85({8: 0.5, 16: 0.5, 32: 0.5}, 1.0, 1.0, 1.0, 2048, 1024),
    "ethos-u85-256": RatesU85({8: 0.25, 16: 0.25, 32: 0.25}, 0.5, 0.5, 0.5, 2048, 1664),
    "ethos-u85-512": RatesU85({8: 0.125, 16: 0.125, 32: 0.25}, 0.25, 0.25, 0.25, 4096, 2048),
    "ethos-u85-1024": RatesU85({8: 0.0625, 16: 0.125, 32: 0.25}, 0.125, 0.25, 0.125, 6656, 4096),
    "ethos-u85-2048": RatesU85({8: 0.03125, 16: 0.0625, 32: 0.125}, 0.0625, 0.125, 0.0625, 8192, 4096),
}


def rates(accelerator: Accelerator) -> Rates:
    """Of a U55 or U65."""
    return RATES[accelerator.name]


def rates_u85(accelerator: Accelerator) -> RatesU85:
    """Of a U85."""
    return RATES_U85[accelerator.name]
