"""What a camera's frame becomes before a model takes it."""

from __future__ import annotations

from mcu_sdk.operators.table.row import Operator

_RESIZED = (
    "call resize_frame_{0}(frame, column_spans, column_weights, row_spans, row_weights, table.as<{1}>(), out.as<{1}>(), "
    "scratch, McuResizeFrame{{width, channels, columns, rows, ring, rows_first ? 1 : 0}})"
)

ROWS = (
    # Per 16 pixels some four columns and rows each, byte by byte, and a table.
    Operator(
        "mcu::resize_frame",
        "Tensor frame, Tensor column_spans, Tensor column_weights, Tensor row_spans, Tensor row_weights, Tensor table, "
        "int ring, bool rows_first",
        ("out", "scratch"),
        arithmetic=300,
        call=f"""
            frame u8[1, height, width, channels]
            column_spans s32[columns, 2]
            row_spans s32[rows, 2]
            column_weights s32(column_parts)
            row_weights s32(row_parts)
            require are_lines(column_spans.as<int32_t>(), column_weights.as<int32_t>(), columns, width, column_parts)
            require are_lines(row_spans.as<int32_t>(), row_weights.as<int32_t>(), rows, height, row_parts)
            require are_in_order(row_spans.as<int32_t>(), rows)
            require ring >= 1 && ring <= height && ring >= longest_span(row_spans.as<int32_t>(), rows)
            table f32|s8[channels, 256]
            out f32|s8[1, rows, columns, channels]
            require out.type == table.type
            scratch u8[((rows_first ? width : ring * columns) + columns) * channels]
            {_RESIZED.format("s8", "int8_t")} if table.is_s8()
            {_RESIZED.format("f32", "float")}
        """,
    ),
)
