"""A .pte and the .ptd files that hold its weights, as one: what ExecuTorch would have written at once, or a refusal."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import pytest
import torch

from mcu_sdk import join_weights
from mcu_sdk.errors import PteError, UnsupportedOperatorError, UsageError
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.planning.pte.tensor_data import read_tensor_data
from mcu_sdk.project.joined import joined_program


class Network(torch.nn.Module):
    """Of which some weights are equal, and one is used twice."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, width)
        self.second = torch.nn.Linear(width, 4)
        self.gain = torch.nn.Parameter(torch.ones(4))
        self.same = torch.nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.first(x).relu())
        return y * self.gain + self.same + self.gain


def lowered(folder: Path, *, external: object = True, width: int = 4, seed: int = 0) -> Path:
    """model.pte in the folder, with its .ptd files beside it."""
    from executorch.exir import ExecutorchBackendConfig, to_edge

    torch.manual_seed(seed)
    module = Network(width).eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (torch.zeros(1, 4),), strict=False)
        made = to_edge(program).to_executorch(
            ExecutorchBackendConfig(external_constants=external, constant_tensor_alignment=16)
        )
    folder.mkdir()
    (folder / "model.pte").write_bytes(made.buffer)
    if external:
        made.write_tensor_data_to_file(str(folder))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lowered(tmp_path_factory.mktemp("joined") / "apart")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lowered(tmp_path_factory.mktemp("joined") / "whole", external=False) / "model.pte"


def check_alike(joined: Path, whole: Path) -> None:
    """The same calls of the same tensors with the same bytes."""
    found, wanted = (read_pte(path.read_bytes()) for path in (joined, whole))
    assert found.memory == wanted.memory and len(found.instructions) == len(wanted.instructions) > 4
    for mine, theirs in zip(found.instructions, wanted.instructions, strict=True):
        assert mine.full_name == theirs.full_name and len(mine.arguments) == len(theirs.arguments)
        for a, b in zip(mine.arguments, theirs.arguments, strict=True):
            data = getattr(a, "data", None)
            assert a == b if data is None else bytes(data) == bytes(b.data)  # type: ignore[union-attr,arg-type]
    assert found.constant_bytes == wanted.constant_bytes


def test_it_is_what_executorch_writes_without_a_ptd(folder: Path, whole: Path, tmp_path: Path) -> None:
    (ptd,) = folder.glob("*.ptd")
    joined = join_weights(tmp_path / "one.pte", folder / "model.pte", ptd)
    check_alike(joined, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["one.pte"]


def test_weights_in_two_files(whole: Path, tmp_path: Path) -> None:
    apart = lowered(tmp_path / "apart", external=lambda node: "a" if "first" in node.name else "b")
    files = sorted(apart.glob("*.ptd"))
    assert len(files) == 2
    check_alike(join_weights(tmp_path / "one.pte", apart / "model.pte", *files), whole)
    with pytest.raises(PteError, match="do not belong together: the program takes 'first"):
        join_weights(tmp_path / "other.pte", apart / "model.pte", files[1])
    with pytest.raises(PteError, match=r"in one \.ptd; .* is in .*a\.ptd and in .*b\.ptd"):
        renamed = tmp_path / "b.ptd"
        renamed.write_bytes(files[0].read_bytes())
        join_weights(tmp_path / "other.pte", apart / "model.pte", *files, renamed)
    assert not (tmp_path / "other.pte").exists()


def test_what_does_not_belong_together(folder: Path, whole: Path, tmp_path: Path) -> None:
    (ptd,) = folder.glob("*.ptd")
    (wider,) = lowered(tmp_path / "wider", width=6).glob("*.ptd")
    output = tmp_path / "one.pte"
    with pytest.raises(
        PteError, match=r"do not belong together: .* 'first.\w+' as f32\[\d, ?4?\]?.* has f32\[6"
    ):
        join_weights(output, folder / "model.pte", wider)
    with pytest.raises(PteError, match=r"this \.pte holds all of its own"):
        join_weights(output, whole, ptd)
    with pytest.raises(PteError, match="no file of a program's data"):
        join_weights(output, folder / "model.pte", whole)
    with pytest.raises(PteError, match=r"A program was expected \(\.pte\)"):
        join_weights(output, ptd, ptd)
    with pytest.raises(PteError, match="cannot be read"):
        join_weights(output, folder / "model.pte", tmp_path / "none.ptd")
    with pytest.raises(UsageError, match="none was given"):
        join_weights(output, folder / "model.pte")
    assert not output.exists()


def test_a_tensor_that_nothing_takes(folder: Path, tmp_path: Path) -> None:
    """It would be left out in silence."""
    from executorch.exir._serialize._cord import Cord
    from executorch.exir._serialize.data_serializer import DataEntry
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

    (ptd,) = folder.glob("*.ptd")
    payload = FlatTensorSerializer().deserialize(Cord(ptd.read_bytes()))
    payload.named_data["more"] = DataEntry(0, 1, None)
    data = bytes(FlatTensorSerializer().serialize(payload))
    assert read_tensor_data(data)["more"].layout is None
    with pytest.raises(PteError, match="nothing in the program takes 'more'"):
        joined_program((folder / "model.pte").read_bytes(), {"more.ptd": data})


def test_a_buffer_that_begins_as_a_ptd_has_it(folder: Path) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
    from executorch.exir.schema import AllocationDetails, Tensor

    file = deserialize_pte_binary((folder / "model.pte").read_bytes())
    for value in (each.val for each in file.program.execution_plan[0].values):
        if isinstance(value, Tensor) and value.extra_tensor_info is not None:
            value.allocation_info = AllocationDetails(1, 0, 0)
    with pytest.raises(UnsupportedOperatorError, match="is changed by the program; buffers start as zeros"):
        joined_program(bytes(serialize_pte_binary(file)), {"x.ptd": next(folder.glob("*.ptd")).read_bytes()})


def test_damaged_weights_are_refused_or_read(folder: Path) -> None:
    """Never another exception than ours, and no bytes from beyond the file."""
    data = next(folder.glob("*.ptd")).read_bytes()
    entries = read_tensor_data(data)
    assert set(entries) >= {"first.weight", "second.bias", "gain"}
    draw = random.Random(7)
    cases = [data[:end] for end in range(0, len(data), 7)]
    cases += [_flipped(data, draw.randrange(len(data)), draw.randrange(8)) for _ in range(2000)]
    refused = 0
    for case in cases:
        try:
            found = read_tensor_data(case)
        except PteError as error:
            refused += 1
            assert ".ptd" in str(error)
        else:
            assert all(e.span.offset + e.span.size <= len(case) for e in found.values())
    assert refused > len(cases) // 3


def _flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
