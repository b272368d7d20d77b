"""ATen's sums, means and choices along axes."""

from __future__ import annotations

from mcu_sdk.operators.table.row import Operator, Work


def _sum(name: str, out_overload: str, divisor: str) -> Operator:
    return Operator(
        name,
        "Tensor self, int[]? dim, bool keepdim, ScalarType? dtype",
        work=Work.UNKNOWN,
        out_overload=out_overload,
        call=f"""
            self f32
            out f32
            unused dtype
            declare Reduction axes
            require axes.fits(self, dim, out)
            call mean_f32(self, out, axes.outer, axes.count, axes.inner, {divisor})
        """,
    )


ROWS = (
    _sum("aten::mean.dim", "out", "axes.divisor"),
    _sum("aten::sum.dim_IntList", "IntList_out", "1.0f"),
    Operator(
        "aten::topk",
        "Tensor self, int k, int dim, bool largest, bool sorted",
        ("values", "indices"),
        work=Work.UNKNOWN,
        out_overload="values",
        call="""
            self f32[*rows, n]
            require (dim == -1 || dim == self.rank - 1) && largest && k >= 1 && k <= n
            unused sorted
            values f32(rows * k)
            indices s64(rows * k)
            call topk_f32(self, values, indices, rows, n, k)
        """,
    ),
)
