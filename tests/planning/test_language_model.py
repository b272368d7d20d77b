"""What a .pte says of its language model is held against what is in it."""

from __future__ import annotations

from typing import Any

import pytest

from mcu_sdk.errors import PteError
from mcu_sdk.planning.instruction import DType, Space, Tensor
from mcu_sdk.planning.language_model import LAPS, describe_language_model
from mcu_sdk.planning.plan import compile_plan
from tests.planning.test_plan import a_pte


def s64(offset: int, *shape: int) -> Tensor:
    return Tensor(DType.S64, shape, Space.ARENA, offset)


IDS, POSITION, SLOT, OTHER = s64(0, 1, 1), s64(16, 1), s64(32, 1), s64(48, 1)
LOGITS = Tensor(DType.F32, (1, 1, 8), Space.ARENA, 64)


def ring(sinks: int, length: int) -> tuple[str, tuple[Any, ...], tuple[Tensor, ...]]:
    return "mcu::ring_slot", (POSITION, sinks, length, SLOT), (SLOT,)


NEGATED = "aten::neg", (POSITION, OTHER), (OTHER,)
OVER = "aten::neg", (IDS, POSITION), (POSITION,)


def described(*calls: Any, **metadata: int) -> Any:
    told = {"get_max_seq_len": 20, **metadata}
    return describe_language_model(
        compile_plan(a_pte(*calls, inputs=(IDS, POSITION), outputs=(LOGITS,), metadata=told))
    )


def test_a_cache_that_slides() -> None:
    """With a window beside it; the position's memory is something else's in the end."""
    found = described(ring(4, 20), ring(0, 7), OVER, NEGATED, get_attention_sinks=4)
    assert (found.sinks, found.max_sequence_length, found.max_text_tokens) == (4, 20, 20 * LAPS)
    plain = described(NEGATED)
    assert (plain.sinks, plain.max_text_tokens) == (-1, 20)


@pytest.mark.parametrize(
    ("calls", "sinks", "message"),
    [
        ((ring(4, 20), NEGATED), 4, "aten::neg reads the position itself"),
        ((ring(4, 20),), 3, r"keep 3 first positions .* \[\(4, 20\)\]"),
        ((ring(4, 20), ring(1, 7)), 4, "it has caches of"),
        ((ring(0, 21),), 0, "it has caches of"),
        ((), 4, "it has caches of"),
        ((ring(0, 7),), 20, "it has caches of"),
    ],
)
def test_what_does_not_slide_so_is_refused(calls: tuple[Any, ...], sinks: int, message: str) -> None:
    with pytest.raises(PteError, match=message):
        described(*calls, get_attention_sinks=sinks)
