"""How much the kernels' integers hold: what lowering may make, emitters and wrappers check and the kernels rely on."""

from __future__ import annotations

LONGEST_SUM = 1 << 16
"""int8 products that an int32 accumulator holds: 2^16 * 2^14 < 2^31."""

LONGEST_DOT = 1 << 15
"""Products of two offset int8 numbers (up to 255 * 255) that an int32 sum holds."""

MOST_TAPS = 1 << 16
"""Products of a channel and a tap that an int32 sum holds: each is at most 255 * 128."""

LARGEST_STEP = 1 << 12
"""Of windows, strides, paddings and dilations: larger ones are nobody's, and could overflow."""

LONGEST_WAVE = 1 << 20
"""Samples whose exact sums a float32 and an int64 hold as the kernel and its reference take them."""

LONGEST_FRAME = 1 << 9
"""Samples of a window whose sum is below 2^24."""
