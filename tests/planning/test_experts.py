"""What a step reads of a mixture of experts, as reports and refusals say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from mcu_sdk.planning.experts import Experts, experts_from_json, experts_of
from mcu_sdk.planning.instruction import Instruction, Space
from tests.kernels.instructions import Machine


def _plan(*operators: str) -> Any:
    machine = Machine()
    calls = []
    for number, operator in enumerate(operators):
        weight = machine.place(np.zeros((4, 5, 20), np.int8), Space.MODEL)
        scale = machine.place(np.zeros((4, 5), np.float32), Space.MODEL)
        row, row_scale = machine.place(np.zeros((1, 20), np.int8)), machine.place(np.zeros(1, np.float32))
        chosen, out = machine.place(np.zeros(2, np.int64)), machine.place(np.zeros((2, 5), np.float32))
        arguments = row, row_scale, weight, scale, None, chosen, out
        calls.append(SimpleNamespace(instruction=Instruction(number, operator, "out", arguments, "#0")))
    return SimpleNamespace(calls=calls)


def test_a_mixture_is_told_by_what_it_reads() -> None:
    experts = experts_of(_plan("mcu::expert_linear_s8", "mcu::expert_linear_s8"))
    whole, read = 2 * 4 * (5 * 20 + 5 * 4), 2 * 2 * (5 * 20 + 5 * 4)
    assert experts == Experts(count=4, chosen=2, bytes=whole, read_bytes=read, step_bytes=read)
    ((label, text),) = experts.rows()
    assert label == "weights per token" and f"of {whole:,} bytes of experts {read:,}, 2 of 4" in text
    assert experts_from_json(experts.to_json()) == experts


def test_others_are_not_told_of() -> None:
    assert experts_of(SimpleNamespace(calls=[])) is None  # type: ignore[arg-type]
    for other in (None, {}, {"count": 4}, {**Experts(1, 1, 1, 1, 1).to_json(), "count": "4"}):
        assert experts_from_json(other) is None
