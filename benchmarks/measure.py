"""From a case to its figures: generate, build, run in QEMU."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models
from benchmarks.cases import BOARD, Case
from benchmarks.results import Figures
from mcu_sdk.board.board import load_board
from mcu_sdk.errors import RunError
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.ideal import plan_ideal, plan_macs, rates_of
from mcu_sdk.planning.plan import Plan
from mcu_sdk.project.build import build
from mcu_sdk.project.elf import ElfSizes
from mcu_sdk.targets import qemu
from mcu_sdk.targets.protocol import Request, Transcript

MACS_PER_IDEAL_INSTRUCTION = 8
"""One 16-byte load and one 16-lane multiply-accumulate for 16 MACs."""


@dataclass(frozen=True)
class Built:
    """A case's firmware."""

    case: Case
    project: Path
    plan: Plan
    vocabulary: int
    program: Path
    sizes: ElfSizes


def prepare(case: Case, folder: Path) -> Built:
    """Generate and build the case below `folder`; what did not change since the last time is not made again."""
    project = folder / case.name
    shutil.rmtree(project / "app", ignore_errors=True)  # the user's part, which nobody changed: take it fresh
    checkpoint = _checkpoint(case, folder / "models")
    request = GenerateRequest(
        board=case.board,
        compile_options=CompileOptions(
            case.length,
            cache_scales=case.cache_scales,
            weights=case.weights,
            stream=case.stream,
            prefill=case.prefill,
            when_full=case.when_full,
        ),
        model=str(checkpoint) if checkpoint is not None else None,
        pte=models.module_pte(case.module, folder / "models") if case.source == "pte" else None,
        output=project,
        name=case.name,
        optimize=case.optimize,
    )
    generated = generate(request)
    built = build(project)
    assert built.sizes is not None
    vocabulary = generated.plan.outputs[0].shape[-1]
    return Built(case, project, generated.plan, vocabulary, built.program, built.sizes)


def _checkpoint(case: Case, folder: Path) -> Path | None:
    if case.folder:
        return Path(__file__).resolve().parent.parent / case.folder
    if case.llama is not None:
        return models.llama_checkpoint(case.llama, case.cache, folder)
    if case.decoder is not None:
        return models.decoder_checkpoint(case.decoder, case.cache, folder)
    return models.encoder_checkpoint(case.encoder, folder) if case.encoder is not None else None


def run_to(built: Built, position: int, program: Path | None = None) -> Transcript:
    """Run up to and including the step at `position`; `instructions_last` is that step's count."""
    board = load_board(built.case.board)
    if built.case.cache:
        prompt = token_ids(built.vocabulary, min(position + 1, built.case.cache))
        request = Request(ids=prompt, tokens=position + 2 - len(prompt), past_end=True)
    else:
        request = Request(steps=position + 1, seed=built.case.seed)
    return qemu.run(board, program or built.program, request)


def token_ids(vocabulary: int, count: int, seed: int = 0) -> tuple[int, ...]:
    """A prompt of made-up tokens. The counts do not depend on them: no kernel looks at what it multiplies."""
    draw = random.Random(seed)
    return tuple(draw.randrange(vocabulary) for _ in range(count))


def step_instructions(built: Built, position: int) -> int:
    """The instructions of the step at `position`, or of each token in the chunk that ends there. Raises RunError where the
    simulator's clock counts none."""
    count = run_to(built, position).number("instructions_last")
    if count is None:
        raise RunError(
            f"Case {built.case.name} was expected to report its instructions; it reported none.",
            hint="QEMU has to run with -icount, as the board.toml says.",
        )
    return round(count / (built.case.prefill or 1))


def figures(built: Built, positions: Sequence[int] | None = None) -> Figures:
    """The case's figures. The bound of its products is known for Helium with int8 weights, else 0."""
    first, last = positions or built.case.positions
    bounded = built.case.board == BOARD and built.case.weights == "int8" and built.case.prefill is None
    return Figures(
        instructions_first=step_instructions(built, first),
        instructions_last=step_instructions(built, last),
        ram_bytes=built.sizes.ram,
        code_bytes=built.sizes.code,
        ideal_instructions=plan_macs(built.plan) // MACS_PER_IDEAL_INSTRUCTION if bounded else 0,
        pte_bytes=built.plan.model_bytes,
    )


def arithmetic(built: Built, position: int) -> int:
    """The least that the step at `position` needs: the sum of its operators' bounds."""
    return plan_ideal(built.plan, rates_of(load_board(built.case.board).core), position)
