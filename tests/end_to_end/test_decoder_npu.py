"""A decoder on a simulated Ethos-U55 or U85 beside the simulated Cortex-M55: three independent sources agree.

One of a single layer with random weights, in int8 and in few levels, and the bundled model.

The firmware with the simulator executes Vela's command stream; Arm's reference model executes the TOSA graph that the
stream was compiled from; PyTorch executes the quantized graph that the TOSA graph was made from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from mcu_sdk.generated import Generated
from mcu_sdk.generation import generate
from mcu_sdk.lowering.ethos_u.score import greedy_tokens
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.model.tokenizer import encode, load_tokenizer
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.recipes import decoder_npu
from mcu_sdk.recipes.decoder_npu import npu_step
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import make_checkpoint
from tests.npu.exchanges import QEMU_U85, Recorded, delegate_calls, different_from_tosa, record

pytestmark = pytest.mark.slow
CORSTONE = ("corstone-300", "ethos-u55-128")
CACHE_LENGTH = 64


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
    params=[
        ("llama-gqa-untied", *CORSTONE, "int8"),
        ("llama-gqa-untied", *CORSTONE, "int4"),
        ("bundled", *CORSTONE, "int8"),
        ("bundled", *QEMU_U85, "int8"),
    ],
    ids=["small-u55", "small-u55-few-levels", "bundled-u55", "bundled-u85"],
)
def made(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    """The graph is the one that was lowered, asked before it was: deriving it once more would take as long."""
    name, board, target, weights = request.param
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
                CompileOptions(CACHE_LENGTH, weights=weights),
                model=model,
                output=folder / "firmware",
                target=target,
                use_cache=False,
            )
        )
    if weights == "int4":
        check_few_levels(generated)
    return Made(open_project(generated.project), asked, prompt, chosen)


def check_few_levels(generated: Generated) -> None:
    """Vela has packed them: of 15 levels on the average a weight takes 4 bits at most, and int8's more than 7. 5.2 leave room for what
    so small linears are filled up with."""
    told = generated.facts["weight_bits"]
    assert max(told["levels"].values()) < 255 and told["measured_kl_divergence"] > 0
    packed = json.loads((generated.project / "model" / "delegate_0.json").read_text())
    assert packed["encoded_weight_bytes"] < 0.65 * packed["weight_bytes"]


@pytest.fixture(scope="module")
def project(made: Made) -> Project:
    return made.project


@pytest.fixture(scope="module")
def recorded(made: Made, project: Project) -> Recorded:
    return record(project, made.request)


def test_a_step_is_one_delegate(made: Made, project: Project, recorded: Recorded) -> None:
    assert len(delegate_calls(project)) == 1
    assert len(recorded.exchanges) == len(recorded.transcript.prompt_ids) + made.tokens - 1


def test_caches_are_read_where_they_are_kept(project: Project) -> None:
    """Of a U85's stream it is not known what it writes to."""
    (delegate,) = read_pte((project.folder / "model/model.pte").read_bytes()).delegates
    copied = (project.folder / "model/plan.cpp").read_text().count("input of the NPU")
    assert copied == (2 if "u85" in delegate.accelerator else 0)


def test_the_host_computes_the_same(made: Made, project: Project, recorded: Recorded) -> None:
    program = build(project.folder, "host").program
    on_host = run_on("host", project, program, made.request)
    assert on_host.digest == recorded.transcript.digest
    assert on_host.ids == recorded.transcript.ids


def test_each_step_is_the_reference_models(made: Made, project: Project, recorded: Recorded) -> None:
    """Not a circle: what the firmware gave the delegate, and what it read from it, against the TOSA graph."""
    assert different_from_tosa(project, recorded) == []
    assert len({outputs[0] for _, outputs in recorded.exchanges}) > made.tokens / 2  # no constant


def test_the_tokens_are_the_quantized_graphs(made: Made, recorded: Recorded) -> None:
    assert list(recorded.transcript.prompt_ids) == made.prompt
    assert list(recorded.transcript.ids) == made.chosen
