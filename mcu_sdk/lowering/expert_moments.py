"""How large the inputs of a mixture's experts are, of each expert those of the rows that its router sends there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mcu_sdk.lowering.fuse.experts import experts_as
from mcu_sdk.lowering.moments import Moments, weight_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

aten = torch.ops.aten


def expert_moments(model: PreTrainedModel, windows: torch.Tensor) -> Moments:
    """Second moments of what each expert's linears read on int64[n, length], by weight_digest of that expert's weight.

    Experts that fewer rows reach than a row has columns are left out: such moments have no inverse, and what they say of
    the rest of the inputs is nothing.
    """
    seen = _Products(model)
    with torch.no_grad(), experts_as(model, "eager"), seen:
        model(input_ids=windows, use_cache=False)
    return {digest: moment for digest, moment in seen.moments.items() if seen.rows[digest] >= len(moment)}


class _Products(TorchDispatchMode):
    """Adds up x x^T of each product of rows with a matrix that lies in a stack of them, a parameter [E, N, K] or [E, K, N]:
    as transformers' own code for experts multiplies, one expert after the other."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moments: Moments = {}
        self.rows: dict[str, int] = {}
        self._stacked = {
            matrix.data_ptr(): None for each in model.parameters() if each.dim() == 3 for matrix in each.data
        }
        self._digests: dict[tuple[Any, ...], str] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (aten.mm.default, aten.addmm.default):
            self._add(*args[-2:])
        return func(*args, **(kwargs or {}))

    def _add(self, x: torch.Tensor, weight: torch.Tensor) -> None:
        """x [rows, K] times weight [K, N], which may be a turned view."""
        if weight.data_ptr() not in self._stacked:
            return
        key = weight.data_ptr(), weight.shape, weight.stride()
        if key not in self._digests:
            self._digests[key] = weight_digest(weight.T)
        digest = self._digests[key]
        rows = x.double()
        self.moments[digest] = self.moments.get(digest, 0) + rows.T @ rows
        self.rows[digest] = self.rows.get(digest, 0) + len(rows)
