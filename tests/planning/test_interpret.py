"""The interpreter runs a .pte in its planned memory and agrees with the model it came from."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mcu_sdk.errors import PteError, UnsupportedOperatorError, UsageError
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter


def test_float_model_equals_eager(tiny: dict[str, Any]) -> None:
    t = tiny["mlp"]
    interpreter = Interpreter(read_pte(t.data))
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        x = torch.randn(2, 6, generator=generator)
        (found,) = interpreter.run(x)
        # The same ATen operators; addmm's order of additions may differ by the layout of the weights.
        torch.testing.assert_close(found, t.model(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["stateful", "kv_cache", "unplanned_io", "inline"])
def test_state_lives_from_step_to_step(tiny: dict[str, Any], name: str) -> None:
    t = tiny[name]
    interpreter = Interpreter(read_pte(t.data))
    generator = torch.Generator().manual_seed(4)
    inputs = [torch.randn(1, 8, generator=generator) for _ in range(4)]
    runs = []
    for _ in range(2):
        interpreter.reset()
        t.model.cache.zero_()
        steps = []
        for position, x in enumerate(inputs):
            found = interpreter.run(x, torch.tensor([position]))
            with torch.no_grad():
                expected = t.model(x, torch.tensor([position]))
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
            steps.append(found)
        runs.append(steps)
    for first, second in zip(*runs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_state_matters(tiny: dict[str, Any]) -> None:
    interpreter = Interpreter(read_pte(tiny["kv_cache"].data))
    x = torch.ones(1, 8)
    first = interpreter.run(x, torch.tensor([0]))
    second = interpreter.run(x, torch.tensor([1]))
    assert not torch.equal(first[0], second[0])


def test_quantized_model_agrees_with_the_pt2e_graph(tiny: dict[str, Any]) -> None:
    t = tiny["quantized"]
    interpreter = Interpreter(read_pte(t.data))
    generator = torch.Generator().manual_seed(5)
    scale = read_pte(t.data).instructions[-1].arguments[1]
    assert isinstance(scale, float)
    steps = torch.zeros(())
    for _ in range(100):
        x = torch.randn(2, 6, generator=generator)
        (found,) = interpreter.run(x)
        with torch.no_grad():
            difference = (found - t.model(x)).abs() / scale
        # CMSIS-NN requantises with a 31-bit multiplier, PT2E in float32: they part ways only where the exact
        # result is within about 1e-6 of a tie, which costs one step of int8.
        assert difference.max() < 1.01
        steps += difference.round().sum()
    assert steps <= 8 + 0.02 * 100 * 8


def test_trace_sees_every_instruction(tiny: dict[str, Any]) -> None:
    t = tiny["kv_cache"]
    pte = read_pte(t.data)
    seen: list[tuple[int, list[torch.Tensor]]] = []
    Interpreter(pte).run(
        *t.inputs, trace=lambda instruction, written: seen.append((instruction.index, written))
    )
    assert [index for index, _ in seen] == list(range(len(pte.instructions)))
    assert [[tuple(w.shape) for w in written] for _, written in seen] == [
        [t.shape for t in w] for w in pte.writes
    ]


def test_a_wrong_plan_shows(tiny: dict[str, Any]) -> None:
    """Put the hidden layer's result onto its own input's bytes: the numbers change or PyTorch refuses."""
    t = tiny["kv_cache"]
    pte = read_pte(t.data)
    (expected, *_) = Interpreter(pte).run(*t.inputs)
    victim, target = pte.writes[1][0], pte.writes[2][0]
    moved = dataclasses.replace(target, offset=pte.inputs[0].offset)

    def move(value: Any) -> Any:
        if isinstance(value, list):
            return [move(item) for item in value]
        return moved if value == target else value

    instructions = tuple(
        dataclasses.replace(i, arguments=tuple(move(a) for a in i.arguments)) for i in pte.instructions
    )
    writes = tuple(tuple(move(w) for w in written) for written in pte.writes)
    broken = dataclasses.replace(pte, instructions=instructions, writes=writes)
    outputs = Interpreter(broken).run(*t.inputs)
    assert victim != target
    correct = Interpreter(pte).run(*t.inputs)
    assert any(not torch.equal(a, b) for a, b in zip(outputs, correct, strict=True))
    assert torch.equal(expected, correct[0])


def test_wrong_inputs(tiny: dict[str, Any]) -> None:
    interpreter = Interpreter(read_pte(tiny["mlp"].data))
    for inputs in ((), (torch.zeros(2, 5),), (torch.zeros(2, 6, dtype=torch.float64),)):
        with pytest.raises(UsageError, match="takes inputs"):
            interpreter.run(*inputs)


def test_unknown_operator(tiny: dict[str, Any]) -> None:
    pte = read_pte(tiny["mlp"].data)
    unknown = dataclasses.replace(pte.instructions[0], operator="nobody::knows")
    with pytest.raises(UnsupportedOperatorError, match=r"nobody::knows\.out"):
        Interpreter(dataclasses.replace(pte, instructions=(unknown, *pte.instructions[1:])))


def test_arguments_an_operator_rejects(tiny: dict[str, Any]) -> None:
    t = tiny["mlp"]
    pte = read_pte(t.data)
    first = pte.instructions[0]
    broken = dataclasses.replace(first, arguments=(first.arguments[0], [0, 7], *first.arguments[2:]))
    interpreter = Interpreter(dataclasses.replace(pte, instructions=(broken, *pte.instructions[1:])))
    with pytest.raises(PteError, match="failed in PyTorch"):
        interpreter.run(*t.inputs)
