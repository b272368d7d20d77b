"""What a model is compiled for: the board's processor, or one of the NPUs that the board can have."""

from __future__ import annotations

from mcu_sdk.board.board import Board
from mcu_sdk.board.npu import family_of
from mcu_sdk.board.npu_target import ActivationBits, NpuTarget
from mcu_sdk.errors import BoardError, UsageError


def choose_target(
    board: Board, name: str | None, *, memory_mode: str | None = None, activation_bits: ActivationBits = 8
) -> NpuTarget | None:
    """The NPU that `name` means on this board (None: the board's default); None for the processor.

    Raises BoardError for a target that the board does not have, or a memory mode that the target does not know,
    UsageError for a memory mode without an NPU.
    """
    wanted = name or board.default_target
    if wanted not in board.targets:
        raise BoardError(
            f"The board {board.name!r} has no target {wanted!r}: its targets are {', '.join(board.targets)}.",
            hint="Take one of them, or a board that has it (`mcu-sdk boards`).",
        )
    if board.npu is None or wanted == board.core.cpu:
        if memory_mode is not None:
            raise UsageError(
                f"A memory mode goes with an Ethos-U, and {wanted!r} is a processor.",
                hint="Leave --memory-mode out.",
            )
        return None
    config = board.npu.vela[family_of(wanted)]
    mode = memory_mode or config.memory_modes[0]
    if mode not in config.memory_modes:
        raise BoardError(
            f"{wanted} on the board {board.name!r} does not know the memory mode {mode!r}.",
            hint=f"It knows {', '.join(config.memory_modes)}.",
        )
    return NpuTarget(wanted, config.system_config, mode, activation_bits)
