"""From a plan to the layout of its project, with the code's true size; or what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from mcu_sdk.board.board import Board, list_boards
from mcu_sdk.board.core import lacks_fpu
from mcu_sdk.operators.layouts import BLOCK_BYTES, GROUP, ROWS
from mcu_sdk.planning.constants import constants_of
from mcu_sdk.planning.experts import experts_of
from mcu_sdk.planning.fit import Layout, Sizes, bytes_over, check_fit, fits, place, require_fit, with_sizes
from mcu_sdk.planning.fpu import needs_fpu
from mcu_sdk.planning.instruction import DType, Space, Tensor
from mcu_sdk.planning.plan import Plan
from mcu_sdk.planning.traffic import step_traffic
from mcu_sdk.project.executorch import CODE_BOUND
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.trial import CodeSizes, measure

TOKEN_BYTES = 64
"""About what a step reads of a tokenizer's tables."""

RUNTIME_BOUND, KERNEL_BOUND, CALL_BOUND = 20 * 1024, 8 * 1024, 192
"""Bytes of code without a compiler: of runtime and platform, of each kernel's file, of each call of the plan, at most."""

TRIALS = 4
"""How often weights are divided anew because the code for a division takes the room that it was to have."""

LEAST_STACK = 2048
"""Bytes that no advice goes below."""

BOARDS_NAMED = 3
"""How many other boards advice names: each has to be compiled for."""

OTHER_LAYOUT = 1.25
"""How much larger a .pte may get on a board whose core wants its weights in another order."""


@dataclass(frozen=True)
class Choices:
    """What a user could still choose: a shorter cache (`length`: positions now), `int4` weights; and whether the
    `checkpoint` is at hand or only its .pte. `advised`: whether a refusal says what would fit, which has to be tried."""

    length: int | None = None
    int4: bool = False
    checkpoint: bool = True
    advised: bool = True


@dataclass(frozen=True)
class Fitted:
    """The layout, that for a run in QEMU beside a simulated NPU, and the sizes that both hold.

    `stack`: what a call of a library needs at most, where that is known.
    """

    layout: Layout
    shared_layout: Layout | None
    sizes: Sizes
    stack: int | None = None


def fit_project(
    inputs: ProjectInputs, plan: Plan, choices: Choices, *, app: Path | None = None, keep: bool = True
) -> Fitted:
    """Decide where everything of a project lies. `inputs` are complete but for the layouts; `app`: an app/ that stays.

    Raises DoesNotFitError with the regions that are over, and with advice that was tried out.
    """
    board = inputs.board
    if board.is_host:
        return Fitted(Layout(), Layout() if _is_shared(inputs) else None, Sizes())

    def measured(other: ProjectInputs) -> CodeSizes | None:
        return measure(other, app, keep=keep)

    code = measured(inputs)
    sizes = _sizes(inputs, plan, code)
    walked = inputs.grammar["token_bytes"] if inputs.grammar else 0
    traffic = step_traffic(plan) | {"tokenizer": TOKEN_BYTES + walked}
    layout = place(board, sizes, traffic)
    hint = ""
    changes: tuple[dict[str, object], ...] = ()
    if bytes_over(board, layout) and choices.advised:
        hint, changes = _advice(inputs, plan, sizes, choices, measured)
        hint = _told_of_experts(plan) + hint
    require_fit(board, sizes, layout, hint, changes)
    if layout.pieces:
        layout, sizes = _with_code_for_pieces(inputs, sizes, traffic, layout, measured)
    shared = None
    if _is_shared(inputs):
        hint = "Take a smaller model: QEMU shares one region only with a simulated NPU."
        shared = check_fit(board.with_npu_memory(shared=True), sizes, traffic, advice=hint)
    return Fitted(layout, shared, sizes, code.stack if code is not None else None)


def _told_of_experts(plan: Plan) -> str:
    """Why a mixture of experts is larger than what a token reads of it."""
    experts = experts_of(plan)
    if experts is None:
        return ""
    return (
        f"Its {experts.count} experts take {experts.bytes:,} bytes, all of which lie in the image, though a token reads "
        f"{experts.chosen} of them. "
    )


def place_uncompiled(board: Board, plan: Plan, *, divided: bool) -> tuple[Layout, Sizes]:
    """Where a plan's parts would lie, and their sizes, with as much code as there can be at most: nothing is compiled. Over
    in some region where it does not fit; empty for a host. `divided`: whether the weights may lie in several regions."""
    sizes = Sizes(
        code=_code_bound(plan),
        weights=plan.model_bytes,
        arena=plan.arena_bytes,
        kv_cache=plan.kv_cache_bytes,
        code_is_bound=True,
        constants=constants_of(plan) if divided else (),
    )
    return place(board, sizes, step_traffic(plan)), sizes


def _with_code_for_pieces(
    inputs: ProjectInputs,
    sizes: Sizes,
    traffic: Mapping[str, int],
    layout: Layout,
    measured: Callable[[ProjectInputs], CodeSizes | None],
) -> tuple[Layout, Sizes]:
    """The layout with the code's size for divided weights, whose addresses the compiler puts together otherwise."""
    for _ in range(TRIALS):
        code = measured(replace(inputs, layout=layout))
        if code is None:
            return layout, sizes  # at most this, as it was taken before
        sizes = _with_code(sizes, code)
        layout = with_sizes(inputs.board, sizes, layout)
        if not bytes_over(inputs.board, layout):
            break
        layout = place(inputs.board, sizes, traffic)
        if not layout.pieces:
            break
    require_fit(inputs.board, sizes, layout)
    return layout, sizes


def _is_shared(inputs: ProjectInputs) -> bool:
    return inputs.npu is not None and inputs.board.npu is not None and inputs.board.npu.shared is not None


def _sizes(inputs: ProjectInputs, plan: Plan, measured: CodeSizes | None) -> Sizes:
    """All sizes; the code's as it was measured, or at most what `_code_bound` says."""
    sizes = Sizes(weights=plan.model_bytes, arena=plan.arena_bytes, kv_cache=plan.kv_cache_bytes)
    if (
        inputs.npu is None and inputs.library is None
    ):  # an NPU takes one file, and a library's user has one section
        sizes = replace(sizes, constants=constants_of(plan))
    if inputs.executorch is not None:  # which reads its weights out of one file
        sizes = replace(sizes, constants=(), arena=inputs.executorch.arena_bytes)
    if measured is None:
        tables = table_bytes(inputs.tokenizer) if inputs.tokenizer else 0
        tables += inputs.grammar["bytes"] if inputs.grammar else 0
        tables += _chat_bytes(inputs.chat) if inputs.chat else 0
        code = _code_bound(plan) + (CODE_BOUND if inputs.executorch is not None else 0)
        return replace(sizes, code=code, tokenizer=tables, code_is_bound=True)
    return _with_code(sizes, measured)


def _chat_bytes(chat: Mapping[str, Any]) -> int:
    stored = chat["stored"]
    return int(chat["bytes"]) + (len(stored["data"]) + 8 * len(stored["segments"]) if stored else 0)


def _with_code(sizes: Sizes, code: CodeSizes) -> Sizes:
    return replace(sizes, code=code.code, tokenizer=code.tokenizer, data=code.data, bss=code.bss)


def _code_bound(plan: Plan) -> int:
    element = {dtype.c_type: dtype.size for dtype in DType}
    tables = sum(len(table.values) * element.get(table.c_type, 8) for table in plan.tables.values())
    return RUNTIME_BOUND + KERNEL_BOUND * len(plan.sources) + CALL_BOUND * len(plan.all_calls) + tables


def table_bytes(tokenizer: Mapping[str, Any]) -> int:
    """Bytes of the section .tokenizer: the arrays that templates/model/tokenizer.cpp.j2 prints, each aligned to a word."""
    total = 0
    for array in tokenizer["arrays"]:
        count = sum(row.count("},") or row.count(",") for row in array["rows"])
        total = -(-total // 4) * 4 + count * _ELEMENTS[array["type"]]
    return total


_ELEMENTS = {
    "uint8_t": 1,
    "uint16_t": 2,
    "uint32_t": 4,
    "int32_t": 4,
    "mcu_split_stage": 2,
    "float": 4,
    "double": 8,
    "mcu_template_item": 8,
}
"""Bytes of an array's elements."""


# ---- advice


@dataclass(frozen=True)
class _Way:
    """One thing to change: what it is called with a number, the sizes after it, and the numbers to try, best first.
    `change`: the option by the name of its field, and its value."""

    text: Callable[[int], str]
    change: Callable[[int], dict[str, object]]
    sizes: Callable[[Sizes, int], Sizes]
    numbers: range = range(1)


def _advice(
    inputs: ProjectInputs,
    plan: Plan,
    sizes: Sizes,
    choices: Choices,
    measured: Callable[[ProjectInputs], CodeSizes | None],
) -> tuple[str, tuple[dict[str, object], ...]]:
    """What makes it fit: each option that does so alone, else the fewest that do together, else other boards.

    In words, and as changes of options.
    """
    ways = list(_ways(inputs, plan, choices, measured))
    for count in range(1, len(ways) + 1):
        found = [way for some in combinations(ways, count) if (way := _try(inputs.board, sizes, some))]
        if found:
            start = "It fits with" if len(found) == 1 else "It fits with any of these:"
            return f"{start} {'; '.join(text for text, _ in found)}.", tuple(change for _, change in found)
    stack = _smaller_stack(inputs.board, sizes)
    if stack:
        return (
            f"It fits with stack_bytes = {stack} in the board.toml; `mcu-sdk build` says whether that suffices.",
            (),
        )
    fitting = _other_boards(inputs, plan, sizes, measured) if inputs.npu is None else iter(())
    others = list(islice(fitting, BOARDS_NAMED + 1))
    tried = "No option makes it fit: take" if ways else "Take"
    more = ", among others" if len(others) > BOARDS_NAMED else ""
    there = f"; it fits --board {', '.join(others[:BOARDS_NAMED])}{more}" if others else ""
    return f"{tried} a smaller model, or a board with more memory{there}.", ()


def _ways(
    inputs: ProjectInputs,
    plan: Plan,
    choices: Choices,
    measured: Callable[[ProjectInputs], CodeSizes | None],
) -> Iterator[_Way]:
    if inputs.optimize == "speed":
        small = measured(replace(inputs, optimize="size"))
        if small is not None:
            yield _Way(
                lambda _: "--optimize size",
                lambda _: {"optimize": "size"},
                lambda sizes, _: _with_code(sizes, small),
            )
    if plan.prefill is not None and choices.checkpoint:
        alone = plan.own_arena_bytes
        yield _Way(
            lambda _: "no --prefill",
            lambda _: {"prefill": None},
            lambda sizes, _: replace(sizes, arena=min(sizes.arena, alone)),
        )
    if choices.int4:
        saved = _saved_by_int4(plan)
        if saved > 0:
            yield _Way(
                lambda _: "--weights int4",
                lambda _: {"weights": "int4"},
                lambda sizes, _: replace(sizes, weights=sizes.weights - saved, constants=()),
            )
    length = choices.length
    if length is not None and length > 1 and plan.kv_cache_bytes:
        later = "" if choices.checkpoint else " when the .pte is made"
        yield _Way(
            lambda number: f"--max-cache-len {number} (now {length}){later}",
            lambda number: {"cache_length": number},
            lambda sizes, number: replace(sizes, kv_cache=cache_bytes(plan, length, number)),
            range(length - 1, 0, -1),
        )


def _try(board: Board, sizes: Sizes, ways: Iterable[_Way]) -> tuple[str, dict[str, object]] | None:
    """How these ways together make it fit, with the best number of the last; None if they do not."""
    *fixed, last = ways
    for way in fixed:
        sizes = way.sizes(sizes, 0)
    low, high = 0, len(last.numbers)  # the first number that fits, of numbers that ask for less and less
    while low < high:
        middle = (low + high) // 2
        if fits(board, last.sizes(sizes, last.numbers[middle])):
            high = middle
        else:
            low = middle + 1
    if low == len(last.numbers):
        return None
    number = last.numbers[low]
    change = {key: value for way in fixed for key, value in way.change(0).items()} | last.change(number)
    return " and ".join([*(way.text(0) for way in fixed), last.text(number)]), change


def cache_bytes(plan: Plan, length: int, shorter: int) -> int:
    """Bytes of the KV cache with `shorter` positions instead of `length`, at most.

    Tensors of the cache with an axis of `length` positions, or of these rounded up for a vector kernel, shrink.
    """
    tensors = {
        tensor.offset: tensor
        for planned in plan.calls
        for tensor in planned.instruction.arguments
        if isinstance(tensor, Tensor) and tensor.space is Space.KV_CACHE
    }
    saved = 0
    for tensor in tensors.values():
        for unit in (1, 4, 8, 16):
            now, then = -(-length // unit) * unit, -(-shorter // unit) * unit
            if now in tensor.shape:
                saved += (tensor.nbytes // 16 * 16) - -(-(tensor.nbytes // now * then) // 16) * 16
                break
    return max(plan.kv_cache_bytes - max(saved, 0), 0)


def _saved_by_int4(plan: Plan) -> int:
    """Bytes that int4 weights save at least: those of the blocks' linears and experts, without the last
    (lowering/int4.py)."""
    linears = [
        planned.instruction
        for planned in plan.calls
        if planned.instruction.operator.startswith(("mcu::linear_s8", "mcu::expert_linear_s8"))
    ]
    saved = 0
    seen: set[int] = set()
    for instruction in linears[:-1]:
        tensors = [value for value in instruction.arguments if isinstance(value, Tensor)]
        weights = [t for t in tensors if t.space is Space.MODEL and t.dtype is DType.S8]
        if not weights or weights[0].offset in seen:
            continue
        seen.add(weights[0].offset)
        n, k = tensors[-1].shape[-1], tensors[0].shape[-1]
        experts = weights[0].shape[0] if "expert" in instruction.operator else 1
        blocks = experts * -(-n // ROWS) * -(-k // GROUP) * BLOCK_BYTES
        if blocks < experts * n * k:
            saved += weights[0].nbytes - blocks - 4 * n - 64  # a bias may come to it, and what fills up
    return saved


def _smaller_stack(board: Board, sizes: Sizes) -> int:
    """A stack with which everything fits; 0 if there is none."""
    over = sum(bytes_over(board, place(board, sizes)).values())
    stack = (board.stack_bytes - over) // 8 * 8
    smaller = board.model_copy(update={"stack_bytes": stack})
    return stack if over and stack >= LEAST_STACK and fits(smaller, sizes) else 0


def _other_boards(
    inputs: ProjectInputs,
    plan: Plan,
    sizes: Sizes,
    measured: Callable[[ProjectInputs], CodeSizes | None],
) -> Iterator[str]:
    """The packaged boards with enough memory, and an FPU where the plan needs one; those with the same core first,
    for which little more is compiled."""
    float_calls, core = needs_fpu(plan.all_calls), inputs.board.core
    for board in sorted(list_boards(), key=lambda board: board.core.flags != core.flags):
        if board.is_host or board.folder == inputs.board.folder or (float_calls and lacks_fpu(board)):
            continue
        code = measured(replace(inputs, board=board))
        if code is None:
            continue
        larger = replace(_with_code(sizes, code), weights=int(sizes.weights * OTHER_LAYOUT), constants=())
        if fits(board, larger):
            yield board.name
