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

Refused = Callable[..., str]

USAGE = 2


def test_a_pte_stays_as_it_is(refused: Refused, project: Path) -> None:
    pte = project / "model" / "model.pte"
    refused(
        ["generate", "--board=host", f"--pte={pte}", "--weights=int4"],
        USAGE,
        "--weights is for a decoder's checkpoint",
    )


def test_an_npu_takes_int8(refused: Refused, checkpoint: Callable[[str], Path]) -> None:
    command = ["generate", "--board=corstone-300", "--target=ethos-u55-128", "--weights=int4"]
    refused([*command, f"--model={checkpoint('llama-odd')}"], USAGE, "ethos-u55-128 takes int8", "--target")


def test_an_npu_is_not_measured_with_int4(refused: Refused) -> None:
    command = ["evaluate", "text.txt", "--target=ethos-u55-128", "--weights=int4"]
    refused(command, USAGE, "--weights is for a decoder's checkpoint on a processor")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (CompileOptions(weights="int2"), "'int8', 'int4' or 'auto', not 'int2'"),  # type: ignore[arg-type]
        (
            CompileOptions(
                weights="int4", npu=NpuTarget("ethos-u65-256", "Ethos_U65_High_End", "Dedicated_Sram")
            ),
            "ethos-u65-256 takes int8",
        ),
    ],
)
def test_options_from_python(options: CompileOptions, why: str, checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match=why):
        compile_checkpoint(find_checkpoint(str(checkpoint("llama-odd"))), options)
