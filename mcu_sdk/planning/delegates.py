"""Which NPU a .pte's delegates run on."""

from __future__ import annotations

from mcu_sdk.board.board import Board
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.board.target import choose_target
from mcu_sdk.errors import PteError
from mcu_sdk.planning.pte.read import Pte


def check_delegates(pte: Pte, board: Board, npu: NpuTarget | None, *, chosen: str | None) -> NpuTarget | None:
    """The NPU that the .pte's delegates run on; None when it has none.

    `chosen` is the target that the user named, `npu` what it means; where none was named it is the NPU that Vela
    compiled for. Raises PteError for delegates of another target than the chosen one, or of an NPU that the board
    cannot have.
    """
    names = sorted({delegate.accelerator for delegate in pte.all_delegates if delegate.accelerator})
    if not names:
        if chosen is not None and npu is not None:
            raise PteError(
                f"Nothing in the .pte runs on an NPU; the target is {npu.accelerator}.",
                hint="Lower it with ExecuTorch's Ethos-U backend, or leave --target out.",
            )
        return None
    if len(names) > 1:
        raise PteError(
            f"The .pte has parts for several NPUs: {', '.join(names)}.", hint="Lower all of it for one NPU."
        )
    if chosen is not None:
        if chosen != names[0]:
            raise PteError(
                f"The .pte was compiled for {names[0]}; the target is {chosen}.",
                hint=f"Lower it again for {chosen}, or name the target {names[0]}.",
            )
        return npu
    if names[0] not in board.targets:
        raise PteError(
            f"The .pte was compiled for {names[0]}; the board {board.name!r} has {', '.join(board.targets)}.",
            hint="Take a board that has this NPU, or lower the model again.",
        )
    return choose_target(board, names[0])
