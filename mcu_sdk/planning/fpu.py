"""Plans for a core without FPU: integers only.

Float in software would take some hundred instructions an operation, and not give the same bits: every target flushes
subnormal numbers to zero, and the compiler's library does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mcu_sdk.board.board import Board
from mcu_sdk.board.core import lacks_fpu
from mcu_sdk.errors import BoardError, UnsupportedOperatorError
from mcu_sdk.planning.plan import PlannedCall

INTEGERS_ONLY = (
    'mcu_sdk.compile_module(..., activations="static", border="int8") makes a .pte of integers only from linears, '
    "ReLUs and clamps (docs/python_api.md); or take a board whose core has an FPU (`mcu-sdk boards`)."
)

_SHOWN = 6


def needs_fpu(calls: Sequence[PlannedCall]) -> bool:
    """Whether any call of a plan computes in float."""
    return any(planned.call.is_float for planned in calls)


def check_integers_only(calls: Sequence[PlannedCall], board: Board) -> None:
    """Raise UnsupportedOperatorError, naming the operators that are float, if the board's core has no FPU."""
    found = [planned for planned in calls if planned.call.is_float]
    if not lacks_fpu(board) or not found:
        return
    counts = Counter(planned.instruction.full_name for planned in found)
    named = [f"{name} ({count} times)" if count > 1 else name for name, count in counts.most_common(_SHOWN)]
    more = [f"{len(counts) - _SHOWN} more"] if len(counts) > _SHOWN else []
    raise UnsupportedOperatorError(
        f"The core of the board {board.name!r}, {board.core.cpu}, has no FPU, and {len(found)} of the {len(calls)} "
        f"kernel calls of this model compute in float: {', '.join([*named, *more])}; the first is {found[0].name}.",
        hint=INTEGERS_ONLY,
    )


def check_checkpoint(board: Board) -> None:
    """Raise BoardError for a checkpoint on a core without FPU: what every recipe makes of one has float in it."""
    if lacks_fpu(board):
        raise BoardError(
            f"The core of the board {board.name!r}, {board.core.cpu}, has no FPU, and a checkpoint's norms, softmaxes "
            "and logits are computed in float.",
            hint=INTEGERS_ONLY,
        )
