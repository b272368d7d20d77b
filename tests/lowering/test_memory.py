"""The memory planner: no overlaps, never below the bound, near it on the plans that occur."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.memory import Block, lower_bound, place
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.recipes.checkpoint import compile_checkpoint
from tests.checkpoints import FAMILIES

blocks = st.lists(
    st.builds(
        lambda size, first, length: Block(16 * size, first, first + length),
        st.integers(0, 40),
        st.integers(0, 30),
        st.integers(0, 12),
    ),
    max_size=30,
)


@given(blocks)
@settings(max_examples=150, deadline=None)
def test_blocks_that_meet_do_not_overlap(given_blocks: list[Block]) -> None:
    offsets, size = place(given_blocks)
    for i, (a, at) in enumerate(zip(given_blocks, offsets, strict=True)):
        assert at >= 0 and at % 16 == 0 and at + a.size <= size
        for b, bt in zip(given_blocks[:i], offsets, strict=False):
            assert not a.meets(b) or at + a.size <= bt or bt + b.size <= at
    assert size >= lower_bound(given_blocks)


def test_a_plan_that_one_order_misses_is_found() -> None:
    """By size alone this takes 112 bytes; the bound of 96 can be reached."""
    given_blocks = [
        Block(48, 0, 1),
        Block(32, 1, 3),
        Block(48, 3, 4),
        Block(16, 0, 3),
        Block(32, 4, 5),
        Block(32, 2, 3),
    ]
    assert place(given_blocks)[1] == lower_bound(given_blocks)


def smallest(given_blocks: list[Block]) -> int:
    """The least size of any plan, by trying every offset that a stack of other blocks can give."""
    heights = {0}
    for block in given_blocks:
        heights |= {height + block.size for height in heights}
    placed: list[tuple[Block, int]] = []

    def search(left: list[Block], best: int) -> int:
        if not left:
            return max((at + block.size for block, at in placed), default=0)
        block, rest = left[0], left[1:]
        for at in sorted(heights):
            if at + block.size >= best:
                break
            if all(not block.meets(b) or at + block.size <= t or t + b.size <= at for b, t in placed):
                placed.append((block, at))
                best = min(best, search(rest, best))
                placed.pop()
        return best

    return search(given_blocks, sum(block.size for block in given_blocks) + 1)


@given(st.lists(st.builds(lambda s, f, n: Block(16 * s, f, f + n), st.integers(1, 5), st.integers(0, 6),
                          st.integers(0, 3)), min_size=1, max_size=6))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_small_plans_are_the_smallest_possible(given_blocks: list[Block]) -> None:
    assert place(given_blocks)[1] == smallest(given_blocks)


@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=[] if f == "gpt2" else [pytest.mark.slow]) for f in FAMILIES],
)
def test_the_arena_is_near_its_bound_and_the_cache_apart(
    family: str, checkpoint: Callable[[str], Path]
) -> None:
    """The bar is 1.05 x the largest sum of live bytes; alignment to 16 is part of what is live."""
    compiled = compile_checkpoint(find_checkpoint(str(checkpoint(family))), CompileOptions(112))
    pte = read_pte(compiled.pte, compiled.names)
    plan = compile_plan(pte)
    assert plan.arena_bytes <= 1.05 * plan.peak_live_bytes
    caches = [b for b in pte.mutable_buffers if "cache" in b.name]
    assert len(caches) >= 4 and plan.kv_cache_bytes == sum(b.tensor.nbytes for b in caches)


@pytest.mark.slow
def test_no_step_copies_the_cache(checkpoint: Callable[[str], Path]) -> None:
    """Nothing but the in-place updates writes into the KV cache's memory, and each writes one position: with scales that are
    found at run time, which lie beside it, keys and then values."""
    from mcu_sdk.planning.instruction import Space

    compiled = compile_checkpoint(find_checkpoint(str(checkpoint("llama-odd"))), CompileOptions(112))
    pte = read_pte(compiled.pte, compiled.names)
    writers = [
        instruction.operator
        for instruction, written in zip(pte.instructions, pte.writes, strict=True)
        if any(tensor.space is Space.KV_CACHE for tensor in written)
    ]
    keys = ["mcu::cache_scale_write_", "mcu::cache_write_dynamic_"]
    values = ["mcu::cache_scale_write_", "mcu::cache_write_columns_dynamic_"]
    assert writers == (keys + values) * 2
    types = {b.name.endswith("_scales"): b.tensor.dtype.name for b in pte.mutable_buffers}
    assert types == {False: "S8", True: "F16"}


class Kept(torch.nn.Module):
    """Reads its cache through a view, as attention does whose heads share keys."""

    cache: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(1, 2, 4, 8))

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        self.cache.index_copy_(2, position, x)
        return self.cache.view(1, 2, 1, 4, 8) * 2.0


def test_a_view_of_a_cache_that_was_written_has_the_caches_memory() -> None:
    example = (torch.ones(1, 2, 1, 8), torch.tensor([1]))
    program = torch.export.export(Kept(), example, strict=False).run_decompositions({})
    plan = compile_plan(read_pte(lower(program, {}, cortex_m_passes=False).pte))
    assert plan.kv_cache_bytes == 2 * 4 * 8 * 4


class Updated(torch.nn.Module):
    """A value that is changed in place, twice, and read by what has another result."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(-128, 128).flip(0).to(torch.int8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mcu = torch.ops.mcu
        q = mcu.quantize(x, 0.1, 0)
        twice = mcu.lookup_s8(mcu.lookup_s8(q, self.table), self.table)
        return mcu.layer_norm_s8(twice, None, x[0, 0], x[0, 1], 0.0, 1e-5), mcu.quantize(x, 0.2, 0)


def test_what_is_updated_in_place_lives_until_its_last_reader() -> None:
    x = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    pte = read_pte(lower(torch.export.export(Updated(), (x,)), {}).pte)
    assert [i.full_name for i in pte.instructions].count("mcu::lookup_s8_") == 2
    for found, wanted in zip(Interpreter(pte).run(x), Updated()(x), strict=True):
        assert torch.equal(found, wanted)
    compile_plan(pte)  # which refuses a result that lies on what it is made from
