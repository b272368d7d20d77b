"""A mixture of experts in int4: this computer, a Cortex-M55 and a Cortex-M4 compute the same bits, those of the quantized
graph but for its router, and the reports say what a token reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.generated import Generated
from mcu_sdk.generation import generate
from mcu_sdk.lowering.accuracy import measure
from mcu_sdk.lowering.run_step import StepRunner
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.recipes.decoder import quantized_step
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request
from tests.decoders import save_small_decoder

CACHE = 40
PROMPT = tuple(i * 7 % 40 for i in range(19))
"""Two chunks of eight, and three tokens one by one."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["olmoe", "gpt_oss"])
def test_every_target_computes_the_quantized_graph(name: str, tmp_path: Path) -> None:
    """GPT-OSS's experts have biases, and are stored with a column for each output."""
    folder = str(save_small_decoder(name, tmp_path))
    options = CompileOptions(CACHE, weights="int4", prefill=8 if name == "olmoe" else None)
    asked = Request(ids=PROMPT, tokens=CACHE - len(PROMPT) + 1, past_end=True)
    digests = set()
    for board in ("corstone-300", "mps2-an386"):
        made = generate(GenerateRequest(board, options, model=folder, output=tmp_path / board))
        layers = 1 if name == "olmoe" else 2
        assert (made.facts["int4_experts"], made.facts["kept_int8"]) == (2 * 4 * layers, [])
        assert 0 <= made.facts["nearest_experts"] < 2 * 4 * layers
        on_host = build(made.project, "host")
        on_computer = host.run(on_host.program, asked)
        on_device = qemu.run(load_board(board), build(made.project, "release").program, asked)
        assert on_computer.ids == on_device.ids and len(on_device.ids) == asked.tokens
        digests |= {on_computer.digest, on_device.digest}
        kernels = {path.stem for path in (made.project / "sdk" / "kernels" / "linear").iterdir()}
        assert "expert_linear_s4" in kernels and not any("expert_linear_s8" in each for each in kernels)
        experts = made.facts["experts"]
        # In each layer 4 experts, 2 of them read: rows of 32 and of 24 columns, each in one group.
        blocks = (6 + 4) * 144
        biases = 4 * (2 * 24 + 32) if name == "gpt_oss" else 0
        assert experts["bytes"] == layers * 4 * (blocks + biases) == 2 * experts["read_bytes"]
    assert len(digests) == 1

    assert on_host.library is not None
    model, fed = HostModel(on_host.library), (*PROMPT, *on_device.ids[:-1])
    steps = model.tokens(fed).copy()
    program = quantized_step(find_checkpoint(folder), options)[0]
    wanted = StepRunner(program).run(torch.tensor([fed]))[0]
    # Routers are float, and ATen adds their products and its softmax's terms in another order: some units in the last place.
    # An int8 input that this rounds to the other side is off by 1/254 of its row's greatest, in one of 24 columns or more.
    assert measure(torch.from_numpy(steps), wanted, logits=True).relative_rms_error < 1e-3


@pytest.mark.slow
def test_a_budget_is_kept_by_experts_too(tmp_path: Path) -> None:
    folder = str(save_small_decoder("olmoe", tmp_path))

    def within(budget: int, name: str) -> Generated:
        options = CompileOptions(CACHE, weights="auto")
        return generate(GenerateRequest("host", options, model=folder, output=tmp_path / name, flash=budget))

    whole = within(1 << 30, "int8")
    told: Any = whole.facts["weight_bits"]
    experts = {name for name in told["bits"] if ".experts." in name}
    assert {name.rpartition(".")[2] for name in experts} == {"gate_up_proj", "down_proj"}
    with pytest.raises(DoesNotFitError, match="the smallest possible") as refused:
        within(1000, "none")
    least = within(1000 + refused.value.over, "least")
    told = least.facts["weight_bits"]
    assert {told["bits"][name] for name in experts} == {4} and experts <= told["kl_divergence"].keys()
    assert list(told["bits"].values()).count(4) == least.facts["int4_linears"]
    assert least.facts["int4_experts"] == 8 and told["measured_kl_divergence"] > 0
