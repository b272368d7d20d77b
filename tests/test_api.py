"""The Python API: one way from a model to logits, and no PyTorch where none is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mcu_sdk
from mcu_sdk import resources
from mcu_sdk.errors import UsageError
from mcu_sdk.planning.pte.read import read_pte

FIXTURES = Path(__file__).parent / "fixtures" / "executorch-1.4.1"


def test_every_name_is_there() -> None:
    assert all(getattr(mcu_sdk, name) is not None for name in mcu_sdk.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mcu_sdk.nothing  # noqa: B018
    # A module of the same name would hide a function of the API as soon as it is imported.
    assert not {name for name in mcu_sdk.__all__ if (resources.PACKAGE / f"{name}.py").exists()}


def test_the_way_of_a_pte_needs_no_torch(tmp_path: Path) -> None:
    """Generating, building, running, and logits on this computer."""
    program = f"""
import sys
from pathlib import Path
import mcu_sdk
from mcu_sdk import CompileOptions, GenerateRequest, HostModel, build, generate, run
request = GenerateRequest("host", CompileOptions(), pte=Path({str(FIXTURES / "decoder-rows.pte")!r}), output=Path("p"))
project = generate(request).project
assert build(project, "host").result.library.is_file()
ran = run(project, ids=[1, 5, 7], tokens=3, simulator="host")
model = HostModel.of(project)
fed = [*ran.transcript.prompt_ids, *ran.transcript.ids[:-1]]
logits = model.tokens(fed)
assert f"{{model.digest([logits]):016x}}" == ran.transcript.digest
model.reset()
assert all((model.step(token) == row).all() for token, row in zip(fed, logits, strict=True))
assert int(logits[-1].argmax()) == ran.transcript.ids[-1]
print(sorted({{"torch", "transformers", "executorch"}} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_tensors_in_and_out(tmp_path: Path) -> None:
    pte = FIXTURES / "stock-mlp.pte"
    request = mcu_sdk.GenerateRequest("host", pte=pte, output=tmp_path / "p")
    model = mcu_sdk.HostModel.of(mcu_sdk.generate(request).project)
    read = read_pte(pte.read_bytes())
    outputs = model.run([np.zeros(tensor.shape, np.float32) for tensor in read.inputs])
    assert [output.shape for output in outputs] == [tensor.shape for tensor in read.outputs]
    assert all(np.isfinite(output).all() for output in outputs)


def test_compile_checkpoint_refuses_before_it_compiles(checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match=r"ends? so|\.pte"):
        mcu_sdk.compile_checkpoint(checkpoint("llama-odd"), output="model.bin")
    with pytest.raises(UsageError, match="for an NPU"):
        mcu_sdk.compile_checkpoint(checkpoint("llama-odd"), activation_bits=16)


def test_compile_checkpoint_writes_what_generate_reads(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    options = mcu_sdk.CompileOptions(cache_length=16)
    output = tmp_path / "model.pte"
    compiled = mcu_sdk.compile_checkpoint(
        checkpoint("llama-odd"), options, board="corstone-300", output=output
    )
    assert output.read_bytes() == compiled.pte and compiled.facts["cache_length"] == 16
    request = mcu_sdk.GenerateRequest("host", pte=output, output=tmp_path / "p")
    generated = mcu_sdk.generate(request)
    assert generated.facts["cache_length"] == 16 and len(generated.plan.calls) > 0
