"""A decoder's chunk divided between an NPU and the processor: which operators go where, on whose weights, and the .pte."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.export import ExportedProgram, export

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.board.npu_target import default_target
from mcu_sdk.lowering.chunks import FOLLOWING, logits_of_prompts
from mcu_sdk.lowering.ethos_u.compile import CompiledModule
from mcu_sdk.lowering.ethos_u.methods import lower_methods
from mcu_sdk.lowering.ethos_u.rows import divide_rows, observe_rows
from mcu_sdk.lowering.fuse.graph import args, aten
from mcu_sdk.lowering.metadata import prefill_metadata
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.lowering.prefill import prefill_of
from mcu_sdk.npu.reference import TosaDelegate
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.project.npu_details import describe_npu
from tests.lowering.test_prefill import LENGTH, VOCABULARY, WIDTH, Step

mcu = torch.ops.mcu
ROWS, INNER = 4, 24
NPU = "delegate::EthosUBackend"
TARGET = default_target("ethos-u55-128")


class Gated(Step):
    """The same with a feed-forward part behind each attention, whose first linear has a bias; `gate` is what lies in it."""

    def __init__(self, gate: str = "gated_silu") -> None:
        super().__init__()
        self.gate = gate
        for layer in range(2):
            self._integers(f"gate{layer}", INNER, WIDTH)
            self._integers(f"up{layer}", INNER, WIDTH)
            self._integers(f"down{layer}", WIDTH, INNER)
            self._floats(f"inner_scale{layer}", INNER)
            self._floats(f"bias{layer}", INNER)

    def _attend(self, x: torch.Tensor, at: torch.Tensor, of: Callable[[str], Any]) -> torch.Tensor:
        attended = super()._attend(x, at, of)
        q, scale = mcu.quantize_rows(mcu.rms_norm(x + attended, of("norm"), 1e-6))
        gate = mcu.linear_s8(q, scale, of("gate"), of("inner_scale"), of("bias"))
        if self.gate == "gated_silu":
            inner = mcu.gated_silu(gate, mcu.linear_s8(q, scale, of("up"), of("inner_scale"), None))
        else:
            inner = mcu.gelu(gate, True)
        q, scale = mcu.quantize_rows(inner)
        return attended + mcu.linear_s8(q, scale, of("down"), of("scale"), None)


def exported(step: Step) -> ExportedProgram:
    given = {"input_ids": torch.tensor([[1]]), "cache_position": torch.tensor([0])}
    with torch.no_grad():
        return export(step.eval(), (), given, strict=False).run_decompositions({})


@pytest.fixture(scope="module")
def step() -> ExportedProgram:
    return exported(Gated())


def windows() -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (4, LENGTH), generator=torch.Generator().manual_seed(5))


def divided(step: ExportedProgram, bits: int = 8) -> ExportedProgram:
    chunk = prefill_of(step, ROWS)
    seen = observe_rows(chunk, windows(), ROWS)
    return divide_rows(chunk, seen, 8 if bits == 8 else 16)


def counts(program: ExportedProgram) -> Counter[str]:
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    return Counter(str(node.target).removesuffix(".default") for node in calls)


def test_linears_of_several_rows_and_their_gates_are_the_npus(step: ExportedProgram) -> None:
    before, after = counts(prefill_of(step, ROWS)), counts(divided(step))
    # q, k, v, o and the first layer's gate, up and down; k and v of the second: one row is left of the rest, and of the logits
    assert after["aten.linear"] == 9 and after["mcu.linear_s8"] == before["mcu.linear_s8"] - 9 == 6
    assert after["aten.silu"] == 1 and after["mcu.gated_silu"] == 1
    for name in (
        "mcu.attention_s8",
        "mcu.rms_norm",
        "mcu.cache_write",
        "mcu.cache_write_columns",
        "mcu.rope",
    ):
        assert after[name] == before[name] > 0


def test_the_weights_are_the_steps(step: ExportedProgram) -> None:
    program = divided(step)
    weights = {
        args(node)[0].name.removeprefix("b_")
        for node in program.graph.nodes
        if node.target is torch.ops.quantized_decomposed.dequantize_per_channel.default
        and node.meta["val"].dim() == 2
    }
    assert weights == {"q0", "k0", "v0", "o0", "gate0", "up0", "down0", "k1", "v1"}
    assert all(program.state_dict[name] is step.state_dict[name] for name in weights)


@pytest.mark.parametrize("bits", [8, 16])
def test_what_it_costs_is_small(step: ExportedProgram, bits: int) -> None:
    """The logits behind a chunk, and those of tokens read by the step behind it, on the caches that it wrote. The processor's
    own int8 rows are what 16 bits differ from."""
    alone, places = logits_of_prompts(step, prefill_of(step, ROWS), windows(), ROWS)
    found, same = logits_of_prompts(step, divided(step, bits), windows(), ROWS)
    assert places == same == [3, *range(4, min(LENGTH, 4 + FOLLOWING))]
    error = float((found - alone).norm() / alone.norm())
    assert 0 < error < 0.05


def test_a_function_alone_in_16_bits_stays_the_processors() -> None:
    """Of these Vela makes wrong products."""
    step = exported(Gated("gelu"))
    assert counts(divided(step, 8))["aten.gelu"] == 1
    assert counts(divided(step, 16))["aten.gelu"] == 0 and counts(divided(step, 16))["mcu.gelu"] == 2


def test_a_bias_is_in_units_of_the_sums(step: ExportedProgram) -> None:
    program = divided(step)
    (product,) = (n for n in program.graph.nodes if n.target is aten.linear.default and len(args(n)) == 3)
    sums, units = args(args(product)[2])[:2]
    bias = step.state_dict["bias0"]
    stored = (
        program.state_dict[sums.name.removeprefix("b_")] * program.state_dict[units.name.removeprefix("b_")]
    )
    assert float((stored - bias).abs().max()) <= 0.51 * float(
        program.state_dict[units.name.removeprefix("b_")].max()
    )


@pytest.fixture(scope="module")
def lowered(step: ExportedProgram) -> CompiledModule:
    own, chunk = copy.deepcopy(step), divided(step)
    for program in (own, chunk):
        pack_weights(program, "helium-8x16")
    metadata = {"get_max_seq_len": LENGTH, "get_vocab_size": VOCABULARY, **prefill_metadata(ROWS)}
    return lower_methods({"forward": own, "prefill": chunk}, {"prefill"}, TARGET, metadata)


def test_one_file_whose_prefill_has_delegates(lowered: CompiledModule) -> None:
    pte = read_pte(lowered.pte, lowered.names)
    assert pte.prefill is not None and pte.shares_buffers and pte.prefill.shares_buffers
    assert (
        not pte.delegates and len(pte.prefill.delegates) == len(lowered.delegates) == 4
    )  # q k v; o; gates; k v
    assert pte.all_delegates == pte.prefill.delegates
    assert {delegate.accelerator for delegate in pte.all_delegates} == {"ethos-u55-128"}
    assert [(b.name, b.tensor) for b in pte.prefill.mutable_buffers] == [
        (b.name, b.tensor) for b in pte.mutable_buffers
    ]
    operators = Counter(instruction.operator for instruction in pte.prefill.instructions)
    assert operators[NPU] == 4 and operators["mcu::attention_s8"] == 2
    own = {(t.offset, t.nbytes) for t in pte.constants if t.nbytes >= WIDTH * WIDTH}
    assert own >= {(t.offset, t.nbytes) for t in pte.prefill.constants if t.nbytes >= WIDTH * WIDTH}
    left = {entry["operator"]: entry["reason"] for entry in lowered.facts["cpu_operators"]}
    assert "processor" in left["mcu.attention_s8"] and lowered.facts["npu_delegates"] == 4


def test_the_caches_of_both_lie_at_one_place(lowered: CompiledModule) -> None:
    """A delegate's border may move where it is the only one; a cache that another method has, never."""
    pte = read_pte(lowered.pte, lowered.names)
    plan = compile_plan(pte)
    assert pte.prefill is not None and plan.prefill is not None
    assert plan.kv_cache_bytes == plan.prefill.kv_cache_bytes == pte.kv_cache_bytes
    assert "drivers/ethos_u/ethos_u_run.cpp" in plan.sources
    assert plan.arena_bytes >= plan.prefill.own_arena_bytes > plan.own_arena_bytes


def test_the_reference_model_and_the_simulator_agree(step: ExportedProgram, lowered: CompiledModule) -> None:
    pte = read_pte(lowered.pte, lowered.names)
    assert pte.prefill is not None
    found = [_prompt(pte, list(map(TosaDelegate, (d.tosa for d in lowered.delegates)))), _prompt(pte, [])]
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    alone, _ = logits_of_prompts(step, prefill_of(step, ROWS), windows()[:1], ROWS)
    error = np.stack(found[0]) - alone[0].numpy()
    assert np.linalg.norm(error) < 0.06 * float(alone.norm())


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "on_npu"), [(16, {"prefill"}), (8, {"forward", "prefill"})])
def test_other_widths_and_a_step_whose_linears_are_the_npus(
    step: ExportedProgram, bits: int, on_npu: set[str]
) -> None:
    """The reference model's bits, and the processor's logits within what int8 costs; the step on the same caches."""
    of_step = observe_rows(step, windows(), 1, least_rows=1)
    forward = divide_rows(step, of_step, 8, least_rows=1) if "forward" in on_npu else copy.deepcopy(step)
    metadata = {"get_max_seq_len": LENGTH, "get_vocab_size": VOCABULARY, **prefill_metadata(ROWS)}
    methods = {"forward": forward, "prefill": divided(step, bits)}
    made = lower_methods(methods, on_npu, replace(TARGET, activation_bits=8 if bits == 8 else 16), metadata)
    pte = read_pte(made.pte, made.names)
    assert pte.prefill is not None and pte.prefill.delegates
    assert bool(pte.delegates) == ("forward" in on_npu)
    assert len(pte.all_delegates) == len(made.delegates) == made.facts["npu_delegates"]
    tosa = [TosaDelegate(delegate.tosa) for delegate in made.delegates]
    found = _prompt(pte, tosa), _prompt(pte, [])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    alone, _ = logits_of_prompts(step, prefill_of(step, ROWS), windows()[:1], ROWS)
    assert np.linalg.norm(np.stack(found[0]) - alone[0].numpy()) < 0.06 * float(alone.norm())
    details = describe_npu(pte, compile_plan(pte), made.facts, made.delegates, TARGET)
    assert details.prefill is not None and len(details.prefill.estimates) == len(pte.prefill.delegates)
    assert len(details.estimates) == len(pte.delegates)


def _prompt(pte: Pte, delegates: list[TosaDelegate]) -> list[np.ndarray[Any, Any]]:
    """The logits of a chunk, and of the tokens behind it."""
    assert pte.prefill is not None
    count = len(pte.delegates)
    forward = Interpreter(pte, delegates[:count])
    prefill = Interpreter(pte.prefill, delegates[count:], beside=forward)
    tokens, places = windows()[0].numpy(), np.arange(LENGTH)
    logits = prefill.run_stored([tokens[:ROWS], places[:ROWS]])
    for at in range(ROWS, LENGTH):
        logits += forward.run_stored([tokens[at : at + 1], places[at : at + 1]])
    return logits


def test_the_report_says_what_a_prompts_token_takes(lowered: CompiledModule) -> None:
    pte = read_pte(lowered.pte, lowered.names)
    details = describe_npu(pte, compile_plan(pte), lowered.facts, lowered.delegates, TARGET)
    assert details.operations == 0 and details.prefill is not None and details.prefill.tokens == ROWS
    cycles = sum(summary.cycles for summary in details.prefill.estimates)
    per_token = details.to_json()["prefill"]["cycles_per_prompt_token"]
    assert per_token == round(cycles / ROWS)
    macs = 6 * WIDTH * WIDTH + 3 * WIDTH * INNER  # of the nine products, a token
    assert sum(summary.macs for summary in details.prefill.estimates) == ROWS * macs
    assert macs / 128 < per_token < MOST_CYCLES
    rows = details.rows()
    assert ("  a step", "all of it on the processor") in rows and ("  a prompt", "4 tokens at once") in rows
    assert ("    a prompt token", f"{per_token:,} cycles") in rows


MOST_CYCLES = 2_000
"""Of the NPU for a token of this chunk, by Vela's estimate."""
