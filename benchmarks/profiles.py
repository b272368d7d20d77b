"""Where each case spends its instructions, operator by operator."""

from __future__ import annotations

import json

from benchmarks.measure import Built, run_to
from mcu_sdk.board.board import load_board
from mcu_sdk.operators.table import Work, find
from mcu_sdk.planning.ideal import HELIUM
from mcu_sdk.project import profile
from mcu_sdk.project.build import build
from mcu_sdk.project.opened import open_project
from mcu_sdk.regeneration import make_profiled

LARGE = 256 * 256
"""Multiplications from which on a product counts as large: its loop, not what surrounds it, decides."""

LARGE_GOAL = 1.2
"""How near the bound a large matrix-vector product has to come."""


def profile_case(built: Built, position: int) -> list[profile.Cost]:
    """One row for each call of the step at `position`; also kept as profile.json beside the project's build."""
    twin, plan = make_profiled(open_project(built.project, built.case.board))
    program = build(twin).program
    transcript = run_to(built, position, program)
    rows = profile.costs(plan, transcript.profile, position, load_board(built.case.board).core)
    text = json.dumps(profile.to_json(rows, position), indent=2) + "\n"
    (built.project / "build" / "profile.json").write_text(text, encoding="utf-8")
    return rows


def worst_large_product(rows: list[profile.Cost]) -> profile.Cost | None:
    """The large product that is furthest from its bound; None if there is none."""
    large = [
        row
        for row in rows
        if (known := find(row.operator)) is not None
        and known.work is Work.PRODUCT
        and row.ideal >= HELIUM.int8.of(LARGE)
        and row.ratio is not None
    ]
    return max(large, key=lambda row: row.ratio or 0.0, default=None)
