"""The bundled model on a simulated Ethos-U55 beside the simulated Cortex-M55: three independent sources agree.

The firmware with the simulator executes Vela's command stream; Arm's reference model executes the TOSA graph that the
stream was compiled from; PyTorch executes the quantized graph that the TOSA graph was made from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mcu_sdk.board.target import choose_target
from mcu_sdk.generation import Generated, generate
from mcu_sdk.lowering.ethos_u.score import greedy_tokens
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.model.tokenizer import encode, load_tokenizer
from mcu_sdk.npu.blob import VelaBlob, read_blob
from mcu_sdk.npu.reference import TosaDelegate
from mcu_sdk.npu.registers import Run
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.instruction import Instruction, Tensor
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.recipes.decoder_npu import npu_step
from mcu_sdk.targets.protocol import Request, Transcript

TARGET = "ethos-u55-128"
CACHE_LENGTH = 64
PROMPT, TOKENS = "ROMEO:", 50
Exchange = tuple[list[bytes], list[bytes]]
"""A delegate's inputs and outputs."""


@dataclass(frozen=True)
class Recorded:
    """A run in QEMU, and what went in and out of the delegate at each step."""

    transcript: Transcript
    exchanges: list[Exchange]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    request = GenerateRequest(
        "corstone-300",
        CompileOptions(CACHE_LENGTH),
        output=tmp_path_factory.mktemp("npu") / "firmware",
        target=TARGET,
        use_cache=False,
    )
    return generate(request)


@pytest.fixture(scope="module")
def project(generated: Generated) -> Project:
    return open_project(generated.project)


def delegate_calls(project: Project) -> list[Instruction]:
    pte = read_pte((project.folder / "model/model.pte").read_bytes())
    return [i for i in pte.instructions if i.operator == "delegate::EthosUBackend"]


@pytest.fixture(scope="module")
def blob(project: Project) -> VelaBlob:
    call = delegate_calls(project)[0].arguments[0]
    assert isinstance(call, Tensor) and call.data is not None
    return read_blob(bytes(call.data))


@pytest.fixture(scope="module")
def recorded(project: Project, blob: VelaBlob) -> Recorded:
    exchanges: list[Exchange] = []

    def observe(run: Run) -> Callable[[], None]:
        scratch = run.regions[1]
        assert scratch is not None
        before = [scratch[t.offset :][: t.size_bytes].tobytes() for t in blob.inputs]

        def finish() -> None:
            exchanges.append((before, [scratch[t.offset :][: t.size_bytes].tobytes() for t in blob.outputs]))

        return finish

    program = build(project.folder, project.preset_for("qemu")).program
    request = Request(text=PROMPT, tokens=TOKENS)
    return Recorded(run_on("qemu", project, program, request, observer=observe), exchanges)


def test_a_step_is_one_delegate(project: Project, recorded: Recorded) -> None:
    assert len(delegate_calls(project)) == 1
    assert len(recorded.exchanges) == len(recorded.transcript.prompt_ids) + TOKENS - 1


def test_the_host_computes_the_same(project: Project, recorded: Recorded) -> None:
    program = build(project.folder, "host").program
    on_host = run_on("host", project, program, Request(text=PROMPT, tokens=TOKENS))
    assert on_host.digest == recorded.transcript.digest
    assert on_host.ids == recorded.transcript.ids


def test_each_step_is_the_reference_models(project: Project, recorded: Recorded) -> None:
    """Not a circle: what the firmware gave the delegate, and what it read from it, against the TOSA graph."""
    graph = TosaDelegate((project.folder / "model/delegate_0.tosa").read_bytes())
    different = [step for step, (given, made) in enumerate(recorded.exchanges) if graph.run(given) != made]
    assert different == []
    assert len({outputs[0] for _, outputs in recorded.exchanges}) > TOKENS / 2  # no constant


def test_the_tokens_are_the_quantized_graphs(project: Project, recorded: Recorded) -> None:
    checkpoint = find_checkpoint(None)
    target = choose_target(project.board, TARGET)
    assert target is not None
    quantized, _, _ = npu_step(checkpoint, CompileOptions(CACHE_LENGTH, npu=target), target)
    tokenizer = load_tokenizer(checkpoint.folder)
    assert tokenizer is not None
    prompt = encode(tokenizer, PROMPT)
    assert list(recorded.transcript.prompt_ids) == prompt
    assert greedy_tokens(quantized, prompt, TOKENS) == list(recorded.transcript.ids)
