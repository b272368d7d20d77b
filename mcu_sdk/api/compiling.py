"""A checkpoint becomes a .pte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcu_sdk.board.board import load_board
from mcu_sdk.board.npu_target import ActivationBits, default_target
from mcu_sdk.board.target import choose_target
from mcu_sdk.errors import UsageError
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.operators.layouts import layout_for
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel, write_compiled

if TYPE_CHECKING:
    pass


def compile_checkpoint(
    model: str | Path | None = None,
    options: CompileOptions | None = None,
    *,
    board: str | None = None,
    target: str | None = None,
    memory_mode: str | None = None,
    activation_bits: ActivationBits = 8,
    output: str | Path | None = None,
    use_cache: bool = True,
) -> CompiledModel:
    """Quantize a checkpoint and lower it to a .pte, ready for `generate --pte`.

    `model`: a folder or a hub id; None is the bundled one. `board`: weights are laid out for its core; `target`: one of its
    NPUs, or any where no board is named. `output`: where to write the .pte; what is known of it goes beside it.
    """
    from mcu_sdk.recipes import checkpoint as recipe

    if output is not None and Path(output).suffix != ".pte":
        raise UsageError(
            f"output is the path of a .pte; {str(output)!r} does not end so.", hint="Add .pte to it."
        )
    found = load_board(board) if board is not None else None
    if found is not None:
        npu = choose_target(found, target, memory_mode=memory_mode, activation_bits=activation_bits)
    else:
        npu = default_target(target, activation_bits) if target is not None else None
    if npu is None and activation_bits != 8:
        raise UsageError(
            "activation_bits is for an NPU; none is the target.", hint="Leave it out, or name a target."
        )
    if npu is not None:
        npu.check()
    layout = layout_for(helium=found is not None and found.core.helium and npu is None)
    chosen = replace(options or CompileOptions(), npu=npu, weight_layout=layout)
    checkpoint = find_checkpoint(str(model) if model is not None else None)
    compiled = recipe.compile_checkpoint(checkpoint, chosen, use_cache=use_cache)
    if output is not None:
        write_compiled(compiled, Path(output))
    return compiled
