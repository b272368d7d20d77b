"""Prompts on a simulated Ethos-U55, in chunks, before steps on the processor: the same tokens as without it, on one cache."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk import verify
from mcu_sdk.board.board import load_board
from mcu_sdk.board.npu_target import ActivationBits, NpuTarget
from mcu_sdk.board.target import choose_target
from mcu_sdk.generation import generate
from mcu_sdk.lowering.ethos_u.delegate import partition
from mcu_sdk.lowering.ethos_u.rows import divide_rows, observe_rows
from mcu_sdk.lowering.prefill import prefill_of
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.recipes.decoder import quantize_fused
from mcu_sdk.recipes.fused import fused_step
from mcu_sdk.targets.protocol import Request
from tests.decoders import save_small_decoder

pytestmark = pytest.mark.slow
BOARD, NPU = "corstone-300", "ethos-u55-128"
PROMPT = "ROMEO: What lady is that, which doth enrich the hand of yonder knight?"


@dataclass(frozen=True)
class Pair:
    """A project with its prompts on the NPU, and the same of the processor alone; what `generate` said of the first."""

    project: Project
    alone: Project
    facts: dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("prompts")
    request = GenerateRequest(
        BOARD, CompileOptions(64, prefill=16), target=NPU, output=folder / "npu", use_cache=False
    )
    made = generate(request)
    alone = generate(replace(request, target=None, output=folder / "alone"))
    return Pair(open_project(made.project), open_project(alone.project), made.facts)


def test_device_host_and_pytorch_agree(pair: Pair) -> None:
    """QEMU with the simulated NPU, the host, and PyTorch with the TOSA reference model; and the checkpoint."""
    pte = read_pte((pair.project.folder / "model/model.pte").read_bytes())
    assert pte.prefill is not None and not pte.delegates and len(pte.prefill.delegates) >= 8
    found = verify(pair.project.folder, prompt=PROMPT, tokens=12)
    assert found.verdict.ok, found.verdict.summary
    assert found.verdict.device.number("chunks") == len(found.verdict.device.prompt_ids) // 16 >= 2
    assert len(found.verdict.checks) == 4
    rows = dict(found.report.rows())
    assert rows["  a step"] == "all of it on the processor" and "cycles" in rows["    a prompt token"]


def test_tokens_after_a_prompt_are_those_of_the_processor_alone(pair: Pair) -> None:
    asked = Request(text=PROMPT, tokens=12)
    answers = [
        run_on("host", project, build(project.folder, "host").program, asked)
        for project in (pair.project, pair.alone)
    ]
    assert answers[0].ids == answers[1].ids and answers[0].digest != answers[1].digest
    fed = (*answers[0].prompt_ids, *answers[0].ids[:-1])
    read = []
    for project in (pair.project, pair.alone):
        library = build(project.folder, "host").library
        assert library is not None
        model = HostModel(library, project.accelerator)
        model.reset()
        read.append(np.stack(model.read_prompt(fed, len(answers[0].prompt_ids) // 16)))
    error = float(np.linalg.norm(read[0] - read[1]) / np.linalg.norm(read[1]))
    assert 0 < error <= 2 * pair.facts["npu_costs"]["relative_rms_error"]  # another text is another sample
    assert pair.facts["npu_costs"]["top1_agreement"] >= 0.95


def test_the_report_has_the_cycles_of_a_prompts_token(pair: Pair) -> None:
    details = pair.project.npu_details()
    assert details is not None and details.prefill is not None
    told = pair.facts["prefill"]["npu"]
    assert details.prefill.per_token() == told
    assert 0 < told["cycles_per_prompt_token"] <= 82_000 and told["our_cycles_per_prompt_token"] > 0


@pytest.mark.parametrize(("rows", "flash", "sram"), [(16, 82_000, 31_000), (32, 47_000, 27_000)])
def test_a_prompts_token_takes_few_cycles(rows: int, flash: int, sram: int) -> None:
    """Vela's estimates: 63,802 and 31,901 from flash are what reading the whole model's weights takes."""
    options = CompileOptions(64)
    fused = fused_step(find_checkpoint(None), options)
    chunk = prefill_of(quantize_fused(fused, options)[0], rows)
    divided = divide_rows(chunk, observe_rows(chunk, fused.windows, rows), 8)
    for mode, most in (("Shared_Sram", flash), ("Sram_Only", sram)):
        target = choose_target(load_board(BOARD), NPU, memory_mode=mode)
        assert isinstance(target, NpuTarget)
        _, delegates = partition(divided, target)
        assert sum(delegate.vela_summary.cycles for delegate in delegates) / rows <= most, mode


@pytest.mark.parametrize(("name", "bits"), [("opt", 8), ("gemma2", 16), ("bloom", 8)])
def test_families_with_other_functions_biases_and_windows(
    name: str, bits: ActivationBits, tmp_path: Path
) -> None:
    """ReLU and GELU, gates in 16 bits, biases, caps and windows, whose tokens take turns."""
    request = GenerateRequest(
        BOARD,
        CompileOptions(40, prefill=8),
        model=str(save_small_decoder(name, tmp_path)),
        target=NPU,
        activation_bits=bits,
        output=tmp_path / "firmware",
        use_cache=False,
    )
    made = generate(request)
    assert made.facts["npu_costs"]["relative_rms_error"] < 0.2
    found = verify(made.project, ids=tuple(i * 7 % 40 for i in range(29)), tokens=6)
    assert found.verdict.ok, found.verdict.summary
    assert found.verdict.device.number("chunks") == 3
