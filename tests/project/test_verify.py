"""Verification: what counts as a difference, and how the first differing step is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.errors import OutputDiffersError, UsageError
from mcu_sdk.project import runners
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.runners import Run, device_runner
from mcu_sdk.project.verdict import Check, Verdict
from mcu_sdk.project.verify import verify
from mcu_sdk.project.verify_device import compare_transcripts, fed_tokens, first_difference
from mcu_sdk.project.verify_python import BOUND, compare_choices, compare_outputs
from mcu_sdk.targets.protocol import Request, Transcript

FACTS = {"model": "ab", "digest": "01", "prompt_ids": "1,2", "ids": "3,4,5", "verdict": "ok"}
RUN = Transcript("text", FACTS)


def changed(**facts: str) -> Transcript:
    return replace(RUN, facts={**FACTS, **facts})


def test_equal_runs_agree() -> None:
    check = compare_transcripts(RUN, changed(instructions_last="12"))
    assert check.ok and check.detail == "digest 01 over 4 steps"


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (changed(digest="02"), "digest 02 on the device, 01 on the host"),
        (changed(ids="3,4,6"), "tokens 3,4,6 on the device"),
        (changed(prompt_ids="1,9"), "prompt tokens"),
        (changed(model="cd"), "the device runs model cd"),
        (replace(RUN, text="texts"), "text texts on the device"),
    ],
)
def test_every_difference_counts(device: Transcript, words: str) -> None:
    check = compare_transcripts(device, RUN)
    assert not check.ok and words in check.detail


def test_two_runs_without_a_digest_prove_nothing() -> None:
    silent = Transcript("", {"verdict": "ok"})
    assert not compare_transcripts(silent, silent).ok


def test_the_last_generated_token_is_not_fed() -> None:
    assert fed_tokens(RUN) == (1, 2, 3, 4)


@given(st.integers(1, 60), st.data())
def test_the_first_differing_step_is_found_in_a_logarithm_of_runs(count: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(1, count))
    host = Transcript("", {"prompt_ids": "7", "ids": ",".join(["8"] * count)})
    assert len(fed_tokens(host)) == count
    runs = 0

    def digest_of(request: Request, spoiled: bool) -> Transcript:
        steps = len(request.ids or ())
        return Transcript("", {"digest": f"{steps}{'x' if spoiled and steps >= wrong else ''}"})

    def device(request: Request) -> Transcript:
        nonlocal runs
        runs += 1
        return digest_of(request, True)

    found = first_difference(Request(ids=(7,)), host, device, lambda request: digest_of(request, False))
    assert f"step {wrong} of {count} " in found and f"at position {wrong - 1}" in found
    assert runs <= 2 + count.bit_length()


def test_steps_on_made_up_inputs_are_searched_too() -> None:
    def run(spoiled: bool, request: Request) -> Transcript:
        steps = request.steps or 0
        return Transcript("", {"digest": str(steps + (100 if spoiled and steps >= 3 else 0))})

    host = Transcript("", {"steps": "5"})
    found = first_difference(Request(steps=5), host, lambda r: run(True, r), lambda r: run(False, r))
    assert found == "the first step that differs is step 3 of 5"


def test_equal_digests_with_other_tokens_are_told() -> None:
    assert "choice of tokens" in first_difference(Request(ids=(1,)), RUN, lambda r: RUN, lambda r: RUN)


def logits(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.float32) for row in rows]


def test_outputs_are_compared_with_the_range_of_their_step() -> None:
    ours = logits([0, 10], [0, 1])
    assert compare_outputs(ours, ours).detail == "equal in every output, 2 steps"
    near = compare_outputs(ours, logits([0, 10], [0, 1 + 0.9 * BOUND]))
    assert near.ok and "1.41e-02 of a step's range" in near.detail
    far = compare_outputs(ours, logits([0, 10], [0, 1 + 1.1 * BOUND]))
    assert not far.ok and "step 2" in far.detail


def test_outputs_that_are_not_finite_must_be_so_on_both_sides() -> None:
    nan = float("nan")
    assert compare_outputs(logits([nan, 1]), logits([nan, 1])).ok
    assert not compare_outputs(logits([nan, 1]), logits([0, 1])).ok
    assert not compare_outputs(logits([0, 1]), logits([float("inf"), 1])).ok


def test_several_outputs_make_one_step() -> None:
    ours = [np.array([0, 100], dtype=np.int8)] * 4
    theirs = [*ours[:3], np.array([0, 90], dtype=np.int8)]
    check = compare_outputs(ours, theirs, per_step=2)
    assert not check.ok and "step 2" in check.detail


def test_greedy_tokens_are_compared_from_the_prompts_last_step_on() -> None:
    ours, theirs = logits([0, 1], [0, 1], [1, 0]), logits([1, 0], [0, 1], [1, 0])
    assert compare_choices(ours, theirs, first=1) == Check("greedy tokens = PyTorch's", True, "2 tokens")
    check = compare_choices(ours, theirs, first=0)
    assert not check.ok and "after step 1: 1, PyTorch 0" in check.detail


def test_a_verdict_with_a_difference_is_an_error_with_code_7() -> None:
    good = Verdict((Check("a", True, "x"),), RUN, RUN, None)
    good.require()
    with pytest.raises(OutputDiffersError, match="b: step 3 differs") as caught:
        replace(good, checks=(*good.checks, Check("b", False, "step 3 differs"))).require()
    assert caught.value.exit_code == 7


# ---- with the tiny project: real builds, real runs


def test_a_real_project_verifies(tiny_project: Path) -> None:
    verdict = verify(
        open_project(tiny_project), Request(ids=(1, 2, 3), tokens=5), timeout=60, with_python=False
    )
    assert verdict.ok, verdict.summary
    assert verdict.device.digest == verdict.host.digest and verdict.device.number("instructions_last")


def test_a_device_that_computes_something_else_is_caught_at_its_first_step(
    tiny_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device's answers from the third token on are those of another prompt."""
    project = open_project(tiny_project)
    real = device_runner

    def spoil(*arguments: object, **settings: object) -> Run:
        run = real(*arguments, **settings)  # type: ignore[arg-type]

        def wrong(request: Request) -> Transcript:
            ids = request.ids or ()
            return run(replace(request, ids=(*ids[:2], *(9 for _ in ids[2:]))))

        return wrong

    monkeypatch.setattr(runners, "device_runner", spoil)
    verdict = verify(project, Request(ids=(1, 2, 3, 4), tokens=2), timeout=60, with_python=False)
    assert not verdict.ok
    assert "the first step that differs is step 3 of" in verdict.summary


def test_simulators_that_do_not_exist_are_refused(tiny_project: Path) -> None:
    project = open_project(tiny_project)
    for simulator in ("renode", ""):
        with pytest.raises(UsageError, match="no simulator"):
            device_runner(project, tiny_project, simulator=simulator)
    with pytest.raises(UsageError, match="exclude each other"):
        device_runner(project, tiny_project, simulator="qemu", port="/dev/null")
    with pytest.raises(UsageError, match="compared with"):
        verify(project, Request(ids=(1,)), simulator="host")
