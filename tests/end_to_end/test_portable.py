"""`generate --operators portable`: ExecuTorch's own runtime runs the file as it comes, without any library of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.verify_python import SLACK, TIMES
from mcu_sdk.recipes.reference import CheckpointReference
from mcu_sdk.targets import host
from mcu_sdk.targets.protocol import Request
from tests.decoders import MODELS, save_small_decoder
from tests.official import python

PROMPT, TOKENS = "ROMEO:", 24
STEPS = 24
ROUNDING = 1e-5
"""Between the runtimes, as a share of the range of a step's logits. Both round each sum of up to 100 products in an order of its
own, by 100 * 2^-24 = 6e-6 at most and about a tenth of it in practice; nothing behind it is quantized."""

OFFICIAL = """
import sys
import numpy as np
import torch
import executorch.kernels.quantized  # ExecuTorch's library of quantized kernels
from executorch.runtime import Runtime

pte, out, *tokens = sys.argv[1:]
method = Runtime.get().load_program(pte).load_method("forward")
logits = [
    method.execute([torch.tensor([[int(token)]]), torch.tensor([position])])[0].numpy().ravel().copy()
    for position, token in enumerate(tokens)
]
assert not {name for name in sys.modules if name.startswith("mcu_sdk")}
np.save(out, np.stack(logits))
"""

RUNNER = """
import sys
import torch
import executorch.kernels.quantized
from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner

pte, tokenizer, prompt, tokens = sys.argv[1:]
said = []
config = GenerationConfig(max_new_tokens=int(tokens), temperature=0.0, echo=False)
TextLLMRunner(pte, tokenizer).generate(prompt, config, said.append)
sys.stdout.write("\\nsaid:" + "".join(said))
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", MODELS)
def test_the_official_runtime_computes_what_ours_does_and_the_checkpoint(family: str, tmp_path: Path) -> None:
    """The checkpoint's logits are within what `verify` allows: it was stated at generation, of other tokens."""
    np = pytest.importorskip("numpy")
    folder = str(save_small_decoder(family, tmp_path / "checkpoint"))
    options = CompileOptions(40, operators="portable")
    generated = generate(GenerateRequest("host", options, model=folder, output=tmp_path / "host"))
    pte = generated.project / "model" / "model.pte"
    names = {each.operator.partition("::")[0] for each in read_pte(pte.read_bytes()).instructions}
    assert names <= {"aten", "quantized_decomposed", "dim_order_ops", "executorch_prim"}

    vocabulary = generated.plan.outputs[0].shape[-1]
    tokens = [(7 * i + 3) % min(vocabulary, 40) for i in range(STEPS)]
    python(OFFICIAL, pte, tmp_path / "logits.npy", *tokens)
    theirs = np.load(tmp_path / "logits.npy")

    from mcu_sdk.project.host_library import HostModel

    built = build(generated.project, "host").library
    assert built is not None
    ours = np.stack(list(HostModel(built).tokens(tokens)))
    spread = ours.max(1) - ours.min(1)
    assert (np.abs(theirs - ours).max(1) <= ROUNDING * spread).all()

    reference = CheckpointReference(folder, generated.facts["checkpoint"]).logits(tokens)
    assert reference is not None
    error = np.sqrt(((theirs - reference) ** 2).mean() / (reference**2).mean())
    assert error <= TIMES * generated.facts["accuracy"]["relative_rms_error"] + SLACK


@pytest.mark.slow
def test_the_llm_runner_says_what_our_firmware_says(tmp_path: Path) -> None:
    request = GenerateRequest("host", CompileOptions(64, operators="portable"), output=tmp_path / "host")
    project = generate(request).project
    tokenizer = resources.bundled_model() / "tokenizer.json"
    said = python(RUNNER, project / "model" / "model.pte", tokenizer, PROMPT, TOKENS).rpartition("said:")[2]
    wanted = host.run(build(project, "host").program, Request(text=PROMPT, tokens=TOKENS)).text
    assert said.strip() == wanted.removeprefix(PROMPT).strip() and len(said) > TOKENS
