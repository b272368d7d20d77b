"""docs/operators.md lists what the table of emitters holds."""

from __future__ import annotations

from pathlib import Path

from mcu_sdk.planning.operator_list import operator_list

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_up_to_date() -> None:
    """To renew it: python -m mcu_sdk.planning.operator_list > docs/operators.md"""
    assert PAGE.read_text(encoding="utf-8") == operator_list()
