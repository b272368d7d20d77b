"""A chunk of a prompt made of a step: the same logits and caches bit for bit, one .pte with two methods, one plan."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import ExportedProgram, export

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.errors import ModelError, PteError
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.metadata import prefill_metadata
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.lowering.prefill import check_prefill, prefill_of
from mcu_sdk.planning.constants import constants_of
from mcu_sdk.planning.language_model import describe_language_model
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.project.self_test import to_template, vectors

mcu = torch.ops.mcu
ROWS, LENGTH, VOCABULARY, WIDTH, HEADS = 4, 11, 24, 16, 2


class Step(nn.Module):
    """Two layers of attention between linears, as a quantized decoder has them, with seeded weights.

    `ring`: of a layer whose cache is written over; `turned`: with something that has no form for several tokens; `summed`:
    with a state that each token adds to.
    """

    def __init__(self, ring: bool = False, turned: bool = False, summed: bool = False) -> None:
        super().__init__()
        self.ring, self.turned, self.summed = ring, turned, summed
        self.register_buffer("sum", torch.zeros(1, 1, WIDTH))
        self._generator = torch.Generator().manual_seed(3)
        self._integers("table", VOCABULARY, WIDTH)
        self._floats("table_scale", VOCABULARY)
        self._floats("cosine", LENGTH, WIDTH // HEADS // 2)
        for layer in range(2):
            for name in ("q", "k", "v", "o"):
                self._integers(f"{name}{layer}", WIDTH, WIDTH)
            self._floats(f"scale{layer}", WIDTH)
            self.register_buffer(f"norm{layer}", torch.ones(WIDTH))
            self._floats(f"back{layer}", HEADS, WIDTH // HEADS)
            self.register_buffer(f"inverse{layer}", 1 / getattr(self, f"back{layer}"))
            self.register_buffer(f"keys{layer}", torch.zeros(1, HEADS, LENGTH, WIDTH // HEADS).to(torch.int8))
            self.register_buffer(
                f"values{layer}", torch.zeros(1, HEADS, WIDTH // HEADS, LENGTH).to(torch.int8)
            )

    def _integers(self, name: str, *shape: int) -> None:
        self.register_buffer(name, torch.randint(-127, 128, shape, generator=self._generator).to(torch.int8))

    def _floats(self, name: str, *shape: int) -> None:
        self.register_buffer(name, torch.rand(shape, generator=self._generator) * 0.03 + 0.005)

    def forward(self, input_ids: torch.Tensor, cache_position: torch.Tensor) -> torch.Tensor:
        x = mcu.embedding_s8(self.table, self.table_scale, input_ids)
        x = x.permute(1, 0, 2).cumsum(0).permute(1, 0, 2) if self.turned else x
        if self.summed:
            x = self.sum.add_(x) + x
        for layer in range(2):
            x = x + self._attend(x, cache_position, lambda name, layer=layer: getattr(self, f"{name}{layer}"))
        q, scale = mcu.quantize_rows(x)
        return mcu.linear_s8(q, scale, self.table, self.table_scale, None)

    def _attend(self, x: torch.Tensor, at: torch.Tensor, of: Callable[[str], Any]) -> torch.Tensor:
        heads = (1, 1, HEADS, WIDTH // HEADS)
        q, scale = mcu.quantize_rows(mcu.rms_norm(x, of("norm"), 1e-6))
        query, key, value = (
            mcu.linear_s8(q, scale, of(name), of("scale"), None).view(heads).transpose(1, 2) for name in "qkv"
        )
        query, key = (mcu.rope(each, self.cosine, self.cosine, at) for each in (query, key))
        place = at % LENGTH if self.ring else at
        keys = mcu.cache_write(of("keys"), key, of("inverse"), place)
        values = mcu.cache_write_columns(of("values"), value, of("inverse"), place)
        of("keys").copy_(keys), of("values").copy_(values)
        out, _ = mcu.attention_s8(query, keys, values, of("back"), of("back"), at, 0.3)
        q, scale = mcu.quantize_rows(out.transpose(1, 2).reshape(1, 1, WIDTH))
        return mcu.linear_s8(q, scale, of("o"), of("scale"), None)


def exported(step: Step) -> ExportedProgram:
    given = {"input_ids": torch.tensor([[1]]), "cache_position": torch.tensor([0])}
    with torch.no_grad():
        return export(step.eval(), (), given, strict=False).run_decompositions({})


@pytest.fixture(scope="module")
def step() -> ExportedProgram:
    return exported(Step())


@pytest.fixture(scope="module")
def both(step: ExportedProgram) -> Pte:
    """The two methods in one .pte, with packed weights."""
    chunk = prefill_of(step, ROWS)
    methods = copy.deepcopy(step), chunk
    assert [pack_weights(each, "helium-8x16") for each in methods] == [9, 9]
    metadata = {"get_max_seq_len": LENGTH, "get_vocab_size": VOCABULARY, **prefill_metadata(ROWS)}
    lowered = lower(methods[0], metadata, prefill=methods[1])
    return read_pte(lowered.pte, lowered.names)


def test_a_chunk_is_its_tokens_one_by_one(step: ExportedProgram) -> None:
    chunk = prefill_of(step, ROWS)
    assert check_prefill(step, chunk, ROWS, VOCABULARY, LENGTH) == 11  # three alone, then two chunks
    names = [spec.target for spec in chunk.graph_signature.output_specs]
    assert names == [spec.target for spec in step.graph_signature.output_specs]
    assert all(chunk.state_dict[name] is value for name, value in step.state_dict.items())


def test_the_last_layers_rest_and_the_logits_are_computed_for_one_token(step: ExportedProgram) -> None:
    linears = [node for node in prefill_of(step, ROWS).graph.nodes if node.target is mcu.linear_s8.default]
    rows = [node.meta["val"].shape[0] for node in linears]
    assert rows == [ROWS] * 4 + [1, ROWS, ROWS, 1, 1]  # q, k, v, o; q of the second layer, k, v, o, logits


@pytest.mark.parametrize(("name", "what"), [("table_scale", "logits|keys"), ("k1", "keys or values")])
def test_a_chunk_that_computes_something_else_is_found(step: ExportedProgram, name: str, what: str) -> None:
    chunk = prefill_of(step, ROWS)
    changed = chunk.state_dict[name].clone()
    changed[-1] = changed[-1] // 2 if changed.dtype == torch.int8 else changed[-1] * 1.5
    chunk.state_dict[name] = changed
    with pytest.raises(ModelError, match=f"bit for bit; from position . on its ({what}) differ"):
        check_prefill(step, chunk, ROWS, VOCABULARY, LENGTH)


@pytest.mark.parametrize(
    ("what", "name"), [("turned", "permute"), pytest.param("summed", "add", marks=pytest.mark.slow)]
)
def test_what_takes_one_token_is_refused_by_name(what: str, name: str) -> None:
    with pytest.raises(ModelError, match=rf"aten\.{name}.* takes one") as caught:
        prefill_of(exported(Step(**{what: True})), ROWS)
    assert "Leave --prefill out" in caught.value.hint


def test_over_a_window_tokens_take_turns() -> None:
    """The second half of the first chunk overwrites what its first token attends to."""
    step = exported(Step(ring=True))
    chunk = prefill_of(step, ROWS)
    assert check_prefill(step, chunk, ROWS, VOCABULARY, LENGTH + 9) == 11
    attentions = [node for node in chunk.graph.nodes if node.target is mcu.attention_s8.default]
    assert len(attentions) == ROWS + 1  # of the second layer that of the last token


@pytest.mark.slow
def test_turns_are_taken_in_place() -> None:
    step = exported(Step(ring=True))
    chunk = prefill_of(step, ROWS)
    lowered = lower(copy.deepcopy(step), {}, prefill=chunk)
    pte = read_pte(lowered.pte)
    assert pte.prefill is not None
    written = [
        call.operator for call in pte.prefill.instructions if call.operator.startswith("mcu::cache_write")
    ]
    assert sorted(written) == ["mcu::cache_write_"] * (ROWS + 1) + ["mcu::cache_write_columns_"] * (ROWS + 1)
    forward = Interpreter(pte)
    alone, prefill = Interpreter(pte), Interpreter(pte.prefill, beside=forward)
    for start in (9, 9 + ROWS):
        tokens, at = np.arange(start, start + ROWS) % VOCABULARY, np.arange(start, start + ROWS)
        steps = [alone.run_stored([tokens[i : i + 1], at[i : i + 1]])[0] for i in range(ROWS)]
        assert np.array_equal(prefill.run_stored([tokens, at])[0], steps[-1])


def test_one_file_holds_both_methods(both: Pte) -> None:
    prefill = both.prefill
    assert prefill is not None and set(both.methods) >= {"forward", "prefill", "get_max_prefill_chunk"}
    assert both.metadata["get_min_prefill_chunk"] == both.metadata["get_max_prefill_chunk"] == ROWS
    assert [(b.name, b.tensor) for b in prefill.mutable_buffers] == [
        (b.name, b.tensor) for b in both.mutable_buffers
    ]
    assert {(t.offset, t.nbytes) for t in prefill.constants} == {(t.offset, t.nbytes) for t in both.constants}
    assert [tuple(t.shape) for t in prefill.inputs] == [(1, ROWS), (ROWS,)]


def test_the_interpreter_runs_both_on_one_cache(both: Pte) -> None:
    assert both.prefill is not None
    alone, forward = Interpreter(both), Interpreter(both)
    prefill = Interpreter(both.prefill, beside=forward)
    tokens = np.arange(9) * 5 % VOCABULARY
    steps = [alone.run_stored([tokens[p : p + 1], np.array([p])])[0] for p in range(9)]
    found = [forward.run_stored([tokens[:1], np.array([0])])[0]]
    found += [prefill.run_stored([tokens[s : s + ROWS], np.arange(s, s + ROWS)])[0] for s in (1, 5)]
    assert all(np.array_equal(a, b) for a, b in zip(found, [steps[0], steps[4], steps[8]], strict=True))


def test_one_plan_in_one_arena(both: Pte) -> None:
    plan = compile_plan(both)
    assert plan.prefill is not None and both.prefill is not None
    assert plan.arena_bytes == max(both.prefill.arena_bytes, both.arena_bytes)
    assert plan.own_arena_bytes < plan.prefill.own_arena_bytes == plan.arena_bytes
    functions = {planned.call.function for planned in plan.prefill.calls}
    assert {"mcu_rope_chunk", "mcu_cache_write_chunk", "mcu_attention_s8_chunk"} < functions
    assert "kernels/attention/rope_chunk.cpp" in plan.sources
    assert set(constants_of(plan)) >= set(constants_of(compile_plan(read_alone(both))))
    described = describe_language_model(plan)
    assert described is not None and described.prefill_rows == ROWS
    assert (
        described.rewind_length == described.max_sequence_length
    )  # nothing but caches of all positions is kept
    template = plan.to_template()
    assert len(template["prefill"]["calls"]) == len(plan.prefill.calls)
    assert len({table["name"] for table in template["tables"]}) == len(template["tables"])


def test_a_self_test_at_boot_has_the_kernels_of_both(both: Pte) -> None:
    plan = compile_plan(both)
    found = vectors(both, plan)
    tested = {kernel for vector in found for kernel in vector.kernels}
    assert tested == {planned.call.function for planned in plan.all_calls}
    printed = [call["function"] for each in to_template(found, plan) for call in each["calls"]]
    assert set(printed) == tested and len({vector.seed for vector in found}) == len(found)


def read_alone(both: Pte) -> Pte:
    return replace(both, prefill=None)


@pytest.mark.slow
def test_methods_that_keep_their_buffers_apart_are_refused(step: ExportedProgram, monkeypatch: Any) -> None:
    """As ExecuTorch plans them unless it is asked to share."""
    from executorch.exir import passes

    class Apart(passes.MemoryPlanningPass):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "share_mutable_buffers": False, "memory_planning_algo": None})

    monkeypatch.setattr(passes, "MemoryPlanningPass", Apart)
    lowered = lower(copy.deepcopy(step), {}, prefill=prefill_of(step, ROWS))
    with pytest.raises(PteError, match="shares every buffer with forward was expected") as caught:
        read_pte(lowered.pte)
    assert "share_mutable_buffers=True" in caught.value.hint
