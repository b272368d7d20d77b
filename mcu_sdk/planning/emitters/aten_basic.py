"""The emitter of ExecuTorch's own view."""

from __future__ import annotations

from collections.abc import Sequence

from mcu_sdk.planning.emitters.aten_layout import copy_all
from mcu_sdk.planning.emitters.checks import count_is, out_tensor, tensor
from mcu_sdk.planning.instruction import Instruction, KernelCall
from mcu_sdk.planning.registry import emits


@emits("executorch_prim::et_view")
def et_view(instruction: Instruction) -> Sequence[KernelCall]:
    """The same bytes under another shape; nothing to do where out is the input.

    et_view repeats no return value in a .pte, so that its out tensor, at the input's place, may have been cut off.
    """
    count_is(instruction, 2, 3)
    if len(instruction.arguments) == 2:
        return []
    return copy_all(instruction, tensor(instruction, 0), out_tensor(instruction, 2))
