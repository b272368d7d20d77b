"""The .pte under ExecuTorch's own runtime, from Python: the bits of our firmware, and the tokens of its LLM runner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.generation import generate
from mcu_sdk.options import GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.targets import host
from mcu_sdk.targets.protocol import Request
from tests.official import build_shared

PROMPT, TOKENS = "ROMEO:", 24

STEPS = """
import ctypes, sys
import torch
from executorch.runtime import Runtime
from mcu_sdk.project.host_library import HostModel

library, pte, model = sys.argv[1:]
ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
method = Runtime.get().load_program(pte).load_method("forward")
ours, theirs = HostModel(__import__("pathlib").Path(model)), []
tokens = [(7 * i + 3) % ours.vocab_size for i in range(24)]
for position, token in enumerate(tokens):
    (logits,) = method.execute([torch.tensor([[token]]), torch.tensor([position])])
    theirs.append(logits.numpy().ravel().copy())
print(f"{ours.digest(list(ours.tokens(tokens))):016x} {ours.digest(theirs):016x}")
"""

RUNNER = """
import ctypes, sys
import torch
from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner

library, pte, tokenizer, prompt, tokens = sys.argv[1:]
ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
said = []
config = GenerationConfig(max_new_tokens=int(tokens), temperature=0.0, echo=False)
TextLLMRunner(pte, tokenizer).generate(prompt, config, said.append)
sys.stdout.write("\\nsaid:" + "".join(said))
"""


def python(script: str, *arguments: object) -> str:
    """What a Python of its own prints: a library registers its operators once in a process."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_bundled_model_computes_the_same_bits_and_says_the_same(tmp_path: Path) -> None:
    library = build_shared(tmp_path / "operators")
    project = generate(GenerateRequest("host", output=tmp_path / "host")).project
    built = build(project, "host")
    pte = project / "model" / "model.pte"

    ours, theirs = python(STEPS, library, pte, built.library).split()
    assert ours == theirs

    tokenizer = resources.bundled_model() / "tokenizer.json"
    said = python(RUNNER, library, pte, tokenizer, PROMPT, TOKENS).rpartition("said:")[2]
    wanted = host.run(built.program, Request(text=PROMPT, tokens=TOKENS)).text
    assert said.strip() == wanted.removeprefix(PROMPT).strip() and len(said) > TOKENS
