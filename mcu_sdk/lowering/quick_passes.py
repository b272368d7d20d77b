"""Lowering without what PyTorch and ExecuTorch do beside it for each of a hundred passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcu_sdk.lowering.deferred_code import deferred_code
from mcu_sdk.lowering.moved_in_place import moved_in_place
from mcu_sdk.lowering.provenance import without_provenance
from mcu_sdk.lowering.retracing import remembered_shapes
from mcu_sdk.requirements import is_pinned_version

PACKAGES = ("torch", "executorch")
"""Whose functions are replaced meanwhile."""


@contextmanager
def quick_passes() -> Iterator[None]:
    """For one model and one target. The .pte is the same, bit for bit. With other versions of PACKAGES than those that this was
    written for, nothing is left out."""
    if not all(map(is_pinned_version, PACKAGES)):
        yield
        return
    with without_provenance(), deferred_code(), remembered_shapes() as shapes, moved_in_place(shapes):
        yield
