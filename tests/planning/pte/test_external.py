"""A program that keeps its weights in a file of its own (.ptd): either alone is refused by name."""

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
    assert "join_weights() puts the .ptd into the .pte" in str(caught.value.hint)


def test_a_buffer_that_begins_as_a_ptd_has_it(pair: tuple[Path, Path]) -> None:
    """ExecuTorch copies it there when it loads the method; as one of zeros it would be another."""
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
    from executorch.exir.schema import AllocationDetails, Tensor

    file = deserialize_pte_binary(pair[0].read_bytes())
    for value in (each.val for each in file.program.execution_plan[0].values):
        if isinstance(value, Tensor) and value.extra_tensor_info is not None:
            value.allocation_info = AllocationDetails(1, 0, 0)
            value.data_buffer_idx = 0
    with pytest.raises(UnsupportedOperatorError, match="is a buffer with an initial value"):
        read_pte(bytes(serialize_pte_binary(file)))


def test_weights_without_their_program(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PteError, match=r"keeps its weights outside \(\.ptd\)"):
        read_pte(pair[1].read_bytes())
    assert cli.run(["inspect", str(pair[1])]) == 3
    assert "Give the .pte" in capsys.readouterr().err
