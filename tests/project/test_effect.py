"""An option of a run is used, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from mcu_sdk.errors import UsageError
from mcu_sdk.project.effect import SAMPLING, check_effect


def check(named: set[str], **more: Any) -> None:
    check_effect("model", named, **{"is_language_model": True, "temperature": 0.8, **more})


def test_what_is_used_is_taken() -> None:
    check(set(SAMPLING))
    check({"tokens", "temperature", "repetition_penalty", "logit_bias"}, temperature=0.0)
    check({"seed", "steps"}, is_language_model=False, temperature=0.0)
    check({"timeout", "inputs"}, is_language_model=False, temperature=0.0, given_inputs=True)


@pytest.mark.parametrize(
    ("named", "more", "words"),
    [
        ("top_k", {"temperature": 0.0}, "--top-k is for tokens that are drawn"),
        ("top_p", {"temperature": 0.0}, "--top-p is for tokens that are drawn"),
        ("min_p", {"temperature": 0.0}, "--min-p is for tokens that are drawn"),
        ("seed", {"temperature": 0.0}, "--seed is for tokens that are drawn"),
        ("tokens", {"is_language_model": False}, "--tokens is for language models; model takes tensors"),
        ("temperature", {"is_language_model": False}, "--temperature is for language models"),
        ("top_k", {"is_language_model": False}, "--top-k is for language models"),
        ("logit_bias", {"is_language_model": False}, "--logit-bias is for language models"),
        ("seed", {"is_language_model": False, "given_inputs": True}, "--seed is for made-up inputs"),
    ],
)
def test_what_changes_nothing_is_refused_by_name(named: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check({named}, **more)
    assert caught.value.exit_code == 2 and f"--{named.replace('_', '-')}" in caught.value.hint
