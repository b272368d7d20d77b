"""Nothing is silent for long: whatever may take more than a moment stands inside a step, whose clock runs.

Judged by the source, not by a clock: each call below is inside of a `with step(...)` or `with stage(...)`, or in a
function that is only called there. How a step shows itself is tests/test_console.py's.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mcu_sdk"
SHOWN = {"step", "stage"}

SLOW = {
    "generation/project.py": {
        "find_checkpoint", "identify", "plan_of", "tokenizer_tables", "fit_into", "render_project",
    },
    "generation/source.py": {"read_pte", "compile_plan"},
    "project/build.py": {"_run", "_check_instructions", "_check_symbols", "read_sizes", "stack_bound"},
    "project/pair.py": {"ask"},
    "project/verify.py": {"compare_with_python", "first_difference"},
    "recipes/checkpoint.py": {"check_calibration_text"},
}  # fmt: skip
"""Calls that may take long, by file. (A build shows itself: project/build.py.)"""

LIBRARIES = ("mcu_sdk.lowering", "mcu_sdk.model.load", "mcu_sdk.model.encoder")
"""What a recipe calls of these may take long."""

QUICK = {
    "encoder_architecture", "quick_passes", "reproducible", "llm_metadata", "int8_share", "drop_weights", "int8_border",
    "require_whole_view", "labels_of", "texts_of", "eager_attention", "sound_facts_of", "left_in_float",
    "pair_architecture", "measured_tokens", "int4_candidates", "float_experts", "float_linears", "choose_cache_length",
    "mixes_experts",
    "prefill_metadata",
}  # fmt: skip
"""Of them, what reads or changes a few numbers."""

OUTSIDE = {"reference.py"}
"""Recipes that others call inside a step of theirs: project/verify.py's compare_with_python."""


def imported(tree: ast.Module) -> set[str]:
    """The functions that a file has from LIBRARIES; types and constants stand in annotations and headers, too."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARIES)
        for alias in node.names
        if alias.name.islower()
    } - QUICK


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def uncovered(tree: ast.Module, slow: set[str]) -> list[tuple[str, int, str]]:
    """(function, line, name) of every use of a slow function outside of a step."""
    calls: list[tuple[str, int, str, bool]] = []

    def visit(node: ast.AST, function: str, shown: bool) -> None:
        if isinstance(node, ast.FunctionDef):
            function, shown = node.name, False
        if isinstance(node, ast.With):
            shown = shown or any(
                isinstance(part, ast.Call) and name_of(part) in SHOWN
                for item in node.items
                for part in ast.walk(item.context_expr)
            )
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):  # a call, or a callback
            calls.append((function, node.lineno, node.id, shown))
        for child in ast.iter_child_nodes(node):
            visit(child, function, shown)

    visit(tree, "", False)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    covered: set[str] = set()
    while True:  # a function is covered when each call of it is
        found = {
            name
            for name in own
            if any(called == name for _, _, called, _ in calls)
            and all(shown or at in covered for at, _, called, shown in calls if called == name)
        }
        if found <= covered:
            break
        covered |= found
    return [
        (at, line, called)
        for at, line, called, shown in calls
        if called in slow and not shown and at not in covered
    ]


@pytest.mark.parametrize("file", SLOW)
def test_what_may_take_long_is_inside_a_step(file: str) -> None:
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    called = {name_of(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert SLOW[file] <= called, "the list is of calls that are there"
    assert uncovered(tree, SLOW[file]) == []


def test_the_steps_of_recipes_are_shown() -> None:
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((PACKAGE / "recipes").glob("*.py"))
        if path.name not in OUTSIDE
    ]
    together = ast.Module([statement for tree in trees for statement in tree.body], [])
    slow = imported(together)
    assert {"fuse", "quantize", "lower", "sample_windows", "compile_module_npu"} <= slow
    assert uncovered(together, slow) == []


def test_a_silent_call_is_found() -> None:
    source = """
def helper():
    slow()
def shown():
    with step("x"), other():
        helper()
def silent():
    slow()
"""
    assert uncovered(ast.parse(source), {"slow"}) == [("silent", 8, "slow")]
    assert len(uncovered(ast.parse(source + "    helper()\n"), {"slow"})) == 2
