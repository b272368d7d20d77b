"""A program that keeps its weights in a file of its own (.ptd): both are refused by name, whichever lie together."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from mcu_sdk import cli
from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.planning.pte.read import read_pte


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(.pte, .ptd) as ExecuTorch writes them."""
    from executorch.exir import ExecutorchBackendConfig, to_edge

    folder = tmp_path_factory.mktemp("external")
    module = torch.nn.Linear(4, 3, bias=False).eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (torch.zeros(1, 4),), strict=False)
        lowered = to_edge(program).to_executorch(ExecutorchBackendConfig(external_constants=True))
    pte = folder / "model.pte"
    pte.write_bytes(lowered.buffer)
    lowered.write_tensor_data_to_file(str(folder))
    (ptd,) = folder.glob("*.ptd")
    return pte, ptd


def test_a_program_without_its_weights(pair: tuple[Path, Path]) -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"outside the \.pte") as caught:
        read_pte(pair[0].read_bytes())
    assert "a .ptd beside it is not read" in str(caught.value.hint)


def test_weights_without_their_program(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PteError, match=r"keeps its weights outside \(\.ptd\)"):
        read_pte(pair[1].read_bytes())
    assert cli.run(["inspect", str(pair[1])]) == 3
    assert "give the .pte" in capsys.readouterr().err
