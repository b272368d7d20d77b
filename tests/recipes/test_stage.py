"""No exception that is not ours leaves a recipe's step, the reading of a .pte, or its planning."""

from __future__ import annotations

from typing import Any

import pytest

from mcu_sdk.errors import ModelError, PteError, UsageError
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte import read
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.recipes.stage import stage


@pytest.mark.parametrize(
    "error",
    [AssertionError(), IndexError("list index"), RuntimeError("a\nb"), KeyError("k"), RecursionError("deep")],
)
def test_a_step_names_itself_and_the_cause(error: Exception) -> None:
    with (
        pytest.raises(ModelError, match=f'"Fusing" failed .*{type(error).__name__}') as caught,
        stage("Fusing"),
    ):
        raise error
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)
    assert "--debug" in caught.value.hint


@pytest.mark.parametrize(
    "error", [UsageError("ours"), OSError(28, "No space"), MemoryError(), KeyboardInterrupt()]
)
def test_our_own_errors_and_the_systems_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, stage("Fusing"):
        raise error
    assert caught.value is error


def test_reading_and_planning_a_pte_let_nothing_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **named: Any) -> Any:
        raise IndexError("tuple index out of range")

    monkeypatch.setattr(read, "read_program", broken)
    with pytest.raises(PteError, match=r"Reading the .pte failed .*IndexError"):
        read_pte(b"")
    with pytest.raises(PteError, match=r"Planning the .pte failed .*AttributeError"):
        compile_plan(broken)  # type: ignore[arg-type]
