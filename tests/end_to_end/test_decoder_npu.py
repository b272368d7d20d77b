"""A decoder on a simulated Ethos-U55 or U85 beside the simulated Cortex-M55: three independent sources agree.

One of a single layer with random weights, and the bundled model.

The firmware with the simulator executes Vela's command stream; Arm's reference model executes the TOSA graph that the
stream was compiled from; PyTorch executes the quantized graph that the TOSA graph was made from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.generation import generate
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
from mcu_sdk.recipes import decoder_npu
from mcu_sdk.recipes.decoder_npu import npu_step
from mcu_sdk.targets.protocol import Request, Transcript
from tests.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow
CORSTONE = ("corstone-300", "ethos-u55-128")
QEMU_U85 = (str(Path(__file__).parents[2] / "examples" / "boards" / "an547-u85"), "ethos-u85-256")
"""What QEMU can show of a Corstone-320: no machine of it has a U85, nor its Cortex-M85."""
CACHE_LENGTH = 64
Exchange = tuple[list[bytes], list[bytes]]
"""A delegate's inputs and outputs."""


@dataclass(frozen=True)
class Recorded:
    """A run in QEMU, and what went in and out of the delegate at each step."""

    transcript: Transcript
    exchanges: list[Exchange]


@dataclass(frozen=True)
class Made:
    """A project, what it is asked, and the tokens that its quantized graph chooses in PyTorch after the prompt."""

    project: Project
    request: Request
    prompt: list[int]
    chosen: list[int]

    @property
    def tokens(self) -> int:
        return self.request.tokens


@pytest.fixture(
    scope="module",
    params=[("llama-gqa-untied", *CORSTONE), ("bundled", *CORSTONE), ("bundled", *QEMU_U85)],
    ids=["small-u55", "bundled-u55", "bundled-u85"],
)
def made(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    """The graph is the one that was lowered, asked before it was: deriving it once more would take as long."""
    name, board, target = request.param
    folder, model = tmp_path_factory.mktemp("npu"), None
    asked = Request(ids=(1, 5, 7, 2, 79, 11, 3, 40), tokens=17, past_end=True)
    prompt = list(asked.ids)
    if name != "bundled":
        model = str(make_checkpoint(name, folder, num_hidden_layers=1))
    else:
        asked = Request(text="ROMEO:", tokens=50)
        tokenizer = load_tokenizer(find_checkpoint(None).folder)
        assert tokenizer is not None
        prompt = encode(tokenizer, asked.text or "")
    chosen: list[int] = []

    def observed(*arguments: Any, **settings: Any) -> Any:
        found = npu_step(*arguments, **settings)
        chosen.extend(greedy_tokens(found[0], prompt, asked.tokens))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_npu, "npu_step", observed)
        generated = generate(
            GenerateRequest(
                board,
                CompileOptions(CACHE_LENGTH),
                model=model,
                output=folder / "firmware",
                target=target,
                use_cache=False,
            )
        )
    return Made(open_project(generated.project), asked, prompt, chosen)


@pytest.fixture(scope="module")
def project(made: Made) -> Project:
    return made.project


def delegate_calls(project: Project) -> list[Instruction]:
    pte = read_pte((project.folder / "model/model.pte").read_bytes())
    return [i for i in pte.instructions if i.operator == "delegate::EthosUBackend"]


@pytest.fixture(scope="module")
def blob(project: Project) -> VelaBlob:
    call = delegate_calls(project)[0].arguments[0]
    assert isinstance(call, Tensor) and call.data is not None
    return read_blob(bytes(call.data))


@pytest.fixture(scope="module")
def recorded(made: Made, project: Project, blob: VelaBlob) -> Recorded:
    exchanges: list[Exchange] = []

    def observe(run: Run) -> Callable[[], None]:
        scratch = run.regions[1]
        assert scratch is not None
        before = [scratch[t.offset :][: t.size_bytes].tobytes() for t in blob.inputs]

        def finish() -> None:
            exchanges.append((before, [scratch[t.offset :][: t.size_bytes].tobytes() for t in blob.outputs]))

        return finish

    program = build(project.folder, project.preset_for("qemu")).program
    return Recorded(run_on("qemu", project, program, made.request, observer=observe), exchanges)


def test_a_step_is_one_delegate(made: Made, project: Project, recorded: Recorded) -> None:
    assert len(delegate_calls(project)) == 1
    assert len(recorded.exchanges) == len(recorded.transcript.prompt_ids) + made.tokens - 1


def test_the_host_computes_the_same(made: Made, project: Project, recorded: Recorded) -> None:
    program = build(project.folder, "host").program
    on_host = run_on("host", project, program, made.request)
    assert on_host.digest == recorded.transcript.digest
    assert on_host.ids == recorded.transcript.ids


def test_each_step_is_the_reference_models(made: Made, project: Project, recorded: Recorded) -> None:
    """Not a circle: what the firmware gave the delegate, and what it read from it, against the TOSA graph."""
    graph = TosaDelegate((project.folder / "model/delegate_0.tosa").read_bytes())
    different = [step for step, (given, made) in enumerate(recorded.exchanges) if graph.run(given) != made]
    assert different == []
    assert len({outputs[0] for _, outputs in recorded.exchanges}) > made.tokens / 2  # no constant


def test_the_tokens_are_the_quantized_graphs(made: Made, recorded: Recorded) -> None:
    assert list(recorded.transcript.prompt_ids) == made.prompt
    assert list(recorded.transcript.ids) == made.chosen
