"""The driver's words and what they mean to a user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.errors import PteError, RunError, TargetTimeoutError
from mcu_sdk.npu.failures import FAILURES, driver_error
from mcu_sdk.targets.protocol import Transcript
from mcu_sdk.targets.verdict import check_verdict


def test_every_word_of_the_driver_has_a_meaning_and_none_is_left_over() -> None:
    said = set()
    for source in (resources.firmware() / "drivers" / "ethos_u").glob("*.cpp"):
        said |= set(re.findall(r'"(npu_\w+)"', source.read_text()))
    assert said - {"npu_error"} == set(FAILURES), "npu_error: for a value that is none of the enumeration"


def test_the_protocol_s_documentation_lists_every_word() -> None:
    text = (Path(__file__).parents[2] / "docs" / "run-protocol.md").read_text()
    assert set(re.findall(r"`(npu_\w+)`", text)) >= set(FAILURES)


def test_meanings_differ() -> None:
    meanings = [meaning for _, meaning, _ in FAILURES.values()]
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize(
    ("reason", "kind", "code"),
    [
        ("npu_bus_error", RunError, 7),
        ("npu_timeout", TargetTimeoutError, 124),
        ("npu_version_mismatch", PteError, 3),
    ],
)
def test_a_verdict_becomes_the_error_with_the_npu_s_status(
    reason: str, kind: type[Exception], code: int
) -> None:
    facts = {
        "verdict": "error",
        "reason": reason,
        "npu_status": "0x00000006",
        "npu_position": "40",
        "model": "ab",
    }
    with pytest.raises(
        kind, match=rf"on QEMU.*\({reason}, npu_status=0x00000006, npu_position=40\)"
    ) as caught:
        check_verdict(Transcript("", facts), "QEMU")
    assert getattr(caught.value, "exit_code") == code  # noqa: B009


def test_other_words_are_not_the_driver_s() -> None:
    assert driver_error("bus_fault", "QEMU") is None
