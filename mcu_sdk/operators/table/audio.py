"""What samples of sound become before a model takes them."""

from __future__ import annotations

from mcu_sdk.operators.limits import LONGEST_FRAME, LONGEST_WAVE
from mcu_sdk.operators.table.row import Operator

ROWS = (
    # For 4 bins: a window of 400 samples, a Fourier transform of 512 points and 40 sums of its powers make some 8,000 steps.
    Operator(
        "mcu::log_mel",
        "Tensor samples, Tensor? count, Tensor window, Tensor roots, Tensor filters, Tensor spans, int frames, int hop, "
        "bool centered, bool from_mean, bool bins_first, float preemphasis, float floor, float gain, float offset, "
        "float reach",
        ("out", "scratch"),
        arithmetic=800,
        call=f"""
            samples s16(length)
            count s64?(1)
            window f32(width)
            roots f32[points, 2]
            require is_transform(points) && width <= points && width <= {LONGEST_FRAME}
            spans s32[bins, 2]
            filters f32(weights)
            require are_spans(spans.as<int32_t>(), bins, points / 2 + 1, weights)
            let spare = centered ? width / 2 : 0
            require frames >= 1 && hop >= 1 && length > spare && (frames - 1) * hop + width - spare <= length + spare
            require floor > 1e-30 && floor < 1e30
            require is_finite(preemphasis) && is_finite(gain) && is_finite(offset) && is_finite(reach)
            out f32
            require bins_first ? out.is({{1, bins, frames}}) : out.is({{1, frames, bins}})
            scratch u8@16[8 * points]
            call log_mel(samples, count, window, roots, filters, spans, out, scratch, McuLogMel{{length, width, points, bins, frames, hop, centered ? 1 : 0, from_mean ? 1 : 0, bins_first ? 1 : 0, preemphasis, floor, gain, offset, reach}})
        """,
    ),
    # Sum; centre, square and add; centre and scale.
    Operator(
        "mcu::normalize_wave",
        "Tensor samples, Tensor? count, bool normalizes",
        arithmetic=6,
        call=f"""
            samples s16(n)
            count s64?(1)
            out f32(n)
            require n <= {LONGEST_WAVE}
            call normalize_wave(samples, count, out, n, normalizes)
        """,
    ),
)
