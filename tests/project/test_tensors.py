"""Arrays for a model: by name, type and shape, in the order in which they lie in memory, and over many steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcu_sdk.errors import UsageError
from mcu_sdk.generation import generate
from mcu_sdk.options import GenerateRequest
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.runners import Device, simulator_device
from mcu_sdk.project.tensors import (
    ATTEMPTS,
    Border,
    Inputs,
    borders_of,
    choose,
    prepare,
    read_npy,
    run_series,
    write_npy,
)
from mcu_sdk.project.verify_tensors import verify_series
from mcu_sdk.targets.protocol import Transcript
from mcu_sdk.targets.verdict import InputsLostError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"
IMAGE = Border("image", "float32", (1, 3, 4, 5), (0, 2, 3, 1), 240)
QUANTIZED = Border("q", "int8", (2,), (0,), 2, (0.5, -3))
INDEX = Border("row", "int64", (), (), 8)


def test_arrays_lie_in_memory_as_the_model_has_them() -> None:
    array = np.arange(60, dtype=np.float32).reshape(IMAGE.shape)
    data = IMAGE.to_bytes(array)
    assert np.frombuffer(data, np.float32)[:4].tolist() == [0, 20, 40, 1]  # channels side by side
    assert (IMAGE.from_bytes(data) == array).all() and IMAGE.from_bytes(data).flags.c_contiguous
    turned = np.asfortranarray(array)
    assert IMAGE.to_bytes(turned) == data


def test_an_array_without_steps_is_given_to_each_of_them() -> None:
    inputs = prepare([QUANTIZED, INDEX], {"q": np.zeros((3, 2), np.int8), "row": np.array(5)})
    assert inputs.stacked and [step[0].shape for step in inputs.steps] == [(2,)] * 3
    assert [int(step[1]) for step in inputs.steps] == [5, 5, 5]
    one = prepare([INDEX], {"row": np.array(5)})
    assert not one.stacked and len(one.steps) == 1
    assert prepare([INDEX], {"row": np.arange(4)}).stacked


@pytest.mark.parametrize(
    ("border", "array", "found"),
    [
        (INDEX, np.array(7, dtype=np.uint8), 7),
        (INDEX, np.array(-7, dtype=">i2"), -7),
        (IMAGE, np.full(IMAGE.shape, 0.25, dtype=np.float16), 0.25),
        (IMAGE, np.full(IMAGE.shape, 0.1, dtype=">f8"), np.float32(0.1)),
        (IMAGE, np.full(IMAGE.shape, np.inf), np.inf),
    ],
)
def test_types_that_lose_nothing_are_taken(border: Border, array: Any, found: Any) -> None:
    taken = prepare([border], {border.name: array}).steps[0][0]
    assert taken.dtype == border.dtype and taken.dtype.isnative and (taken == found).all()


@pytest.mark.parametrize(
    ("border", "array", "words"),
    [
        (QUANTIZED, np.zeros(2, np.float32), r"numpy.round\(x / 0.5\) \+ -3"),
        (QUANTIZED, np.zeros(2, np.int64), r"is int8\[2\]; found is int64\[2\]"),
        (QUANTIZED, np.zeros(2, np.uint8), "found is uint8"),
        (IMAGE, np.zeros(IMAGE.shape, np.int8), r"astype\('float32'\)"),
        (IMAGE, np.full(IMAGE.shape, 1e39), "cannot hold"),
        (INDEX, np.array(2**63, dtype=np.uint64), "cannot hold"),
        (INDEX, np.array(1.0), "found is float64"),
        (INDEX, np.zeros((0,), np.int64), "has no steps"),
        (IMAGE, np.zeros((1, 4, 5, 3), np.float32), r"found is float32\[1, 4, 5, 3\]"),
    ],
)
def test_what_would_change_numbers_is_refused(border: Border, array: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepare([border], {border.name: array})


def test_names() -> None:
    assert choose([IMAGE], {None: 1}, "--input") == {"image": 1}
    assert choose([IMAGE, INDEX], {"1": 1, "image": 2}, "--input") == {"row": 1, "image": 2}
    for given in ({None: 1}, {"2": 1}, {"rows": 1}, {"0": 1, "image": 1}):
        with pytest.raises(UsageError):
            choose([IMAGE, INDEX], given, "--input")  # type: ignore[arg-type]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "y.npy"
    write_npy(path, np.arange(3))
    write_npy(path, np.arange(4))
    assert read_npy(path, "y").tolist() == [0, 1, 2, 3] and list(tmp_path.iterdir()) == [path]
    with pytest.raises(UsageError, match="cannot be written"):
        write_npy(tmp_path / "none" / "y.npy", np.arange(3))


@pytest.mark.slow
def test_a_board_that_forgets_is_begun_again_and_not_for_ever(tensor_project: Path) -> None:
    project = open_project(tensor_project)
    borders = borders_of(project)
    real = simulator_device("host", project, tensor_project / "build" / "host" / "firmware")
    inputs = prepare(borders.inputs, {"input_0": np.ones((1, 8), np.float32), "input_1": np.array([1])})
    lost = Transcript("", {"verdict": "error", "reason": "out_of_order"})
    tries = 0

    def forgetting(times: int) -> Device:
        def each(messages: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries <= times:
                yield lost
            else:
                yield from real.each(messages)

        return Device("the board", each)

    assert run_series(forgetting(ATTEMPTS - 1), borders, inputs).transcript.verdict == "ok"
    tries = 0
    with pytest.raises(InputsLostError, match="out_of_order"):
        run_series(forgetting(ATTEMPTS), borders, inputs)


@pytest.mark.slow
def test_images_with_channels_last_are_the_same_in_pytorch(tmp_path: Path) -> None:
    """The .pte has them channels last; the user's arrays have the model's dimensions."""
    request = GenerateRequest("host", pte=FIXTURES / "stock-convolutions.pte", output=tmp_path / "p")
    project = open_project(generate(request).project)
    borders = borders_of(project)
    assert borders.inputs[0].order == (0, 2, 3, 1)
    draw = np.random.default_rng(4)
    images = draw.standard_normal((2, *borders.inputs[0].shape)).astype(np.float32)
    inputs = prepare(borders.inputs, {"input_0": images})
    verdict, run = verify_series(project, borders, inputs)
    assert verdict.ok, verdict.summary
    assert len(run.outputs) == 2 and (run.outputs[0][0] != run.outputs[1][0]).any()


def test_a_device_that_computes_something_else_is_named_with_its_step(
    tensor_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcu_sdk.project import verify_tensors

    project = open_project(tensor_project)
    borders = borders_of(project)
    arrays = {"input_0": np.ones((3, 1, 8), np.float32), "input_1": np.array([1])}
    inputs = prepare(borders.inputs, arrays)
    real = verify_tensors.run_series

    def spoiled(device: Device, borders: Any, inputs: Inputs) -> Any:
        if device.name == "QEMU":
            changed = [step[0] * (2 if number == 1 else 1) for number, step in enumerate(inputs.steps)]
            steps = tuple((x, *step[1:]) for x, step in zip(changed, inputs.steps, strict=True))
            inputs = Inputs(steps, inputs.stacked)
        return real(device, borders, inputs)

    monkeypatch.setattr(verify_tensors, "run_series", spoiled)
    verdict, _ = verify_series(project, borders, inputs, with_python=False)
    assert not verdict.ok and "the first step that differs is step 2 of 3" in verdict.summary
