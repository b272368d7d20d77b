"""int4 weights where there can be none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.errors import UsageError
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.checkpoint import compile_checkpoint
from tests.checkpoints import make_encoder

Refused = Callable[..., str]

USAGE = 2


def test_a_pte_stays_as_it_is(refused: Refused, project: Path) -> None:
    pte = project / "model" / "model.pte"
    refused(
        ["generate", "--board=host", f"--pte={pte}", "--weights=int4"],
        USAGE,
        "--weights is for a decoder's checkpoint",
    )


def test_an_encoder_on_an_npu_is_int8(refused: Refused, checkpoint: Callable[[str], Path]) -> None:
    command = ["generate", "--board=corstone-300", "--target=ethos-u55-128", "--weights=int4"]
    model = make_encoder("bert", checkpoint("llama-odd").parent)
    refused([*command, f"--model={model}"], USAGE, "--weights is for a decoder's checkpoint", "an encoder's")


def test_prompts_on_an_npu_read_int8(refused: Refused, checkpoint: Callable[[str], Path]) -> None:
    command = ["generate", "--board=corstone-300", "--target=ethos-u55-128", "--weights=int4", "--prefill=8"]
    refused(
        [*command, f"--model={checkpoint('llama-odd')}"],
        USAGE,
        "--weights and --prefill do not go together on",
    )


def test_levels_chosen_by_bytes_are_not_measured(refused: Refused) -> None:
    """`evaluate` measures an NPU's step before it is compiled, when it has no bytes."""
    command = ["evaluate", __file__, "--target=ethos-u55-128", "--weights=auto", "--flash=100K"]
    refused(command, USAGE, "--weights auto chooses by the bytes of what is compiled", "int8 or int4")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (CompileOptions(weights="int2"), "'int8', 'int4' or 'auto', not 'int2'"),  # type: ignore[arg-type]
    ],
)
def test_options_from_python(options: CompileOptions, why: str, checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match=why):
        compile_checkpoint(find_checkpoint(str(checkpoint("llama-odd"))), options)


def test_an_encoder_from_python(checkpoint: Callable[[str], Path]) -> None:
    npu = NpuTarget("ethos-u65-256", "Ethos_U65_High_End", "Dedicated_Sram")
    model = make_encoder("bert", checkpoint("llama-odd").parent)
    with pytest.raises(UsageError, match="--weights is for decoders"):
        compile_checkpoint(find_checkpoint(str(model)), CompileOptions(weights="int4", npu=npu))
