"""A .pte that is damaged, is something else, or needs an operator for which there is no kernel."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mcu_sdk.errors import UnsupportedOperatorError
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor
from mcu_sdk.planning.registry import emit

Refused = Callable[..., str]

INVALID, USAGE = 3, 2


class Apply(torch.nn.Module):
    """One operator after a product."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = torch.nn.Parameter(torch.full((4,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x * self.weight)


def lower(function: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
    from executorch.exir import EdgeCompileConfig, to_edge

    exported = torch.export.export(Apply(function).eval(), (torch.rand(2, 4),))
    edge = to_edge(exported, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    return bytes(edge.to_executorch().buffer)


@pytest.fixture(scope="module")
def program() -> bytes:
    """A valid .pte, for tests that damage it."""
    return lower(torch.relu)


def generate(pte: Path, *more: str) -> list[str]:
    return ["generate", "--board", "host", "--pte", str(pte), *more]


# ---- operators


OPERATORS = {
    "aten::erfinv.out": torch.erfinv,
    "aten::cumprod.out": lambda x: torch.cumprod(x, 1),
    "aten::sort.values": lambda x: torch.sort(x, 1).values,
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_without_a_kernel_is_named(operator: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(lower(OPERATORS[operator]))
    message = refused(
        generate(tmp_path / "model.pte"),
        INVALID,
        operator,
        "no kernel",
        "docs/operators.md",
        "change the model",
    )
    assert "corrupt" not in message


def test_an_operator_without_a_kernel_is_named_with_where_it_came_from(
    refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "model.pte").write_bytes(lower(torch.erfinv))
    names = ["model.first", "model.\nsecond\n" + "x" * 5000]
    (tmp_path / "names.json").write_text(json.dumps({"instructions": names}))
    refused(generate(tmp_path / "model.pte"), INVALID, "aten::erfinv", "model. second xxx")


def test_long_arguments_are_cut() -> None:
    """A file decides how many arguments there are; the message stays a paragraph."""
    tensor = Tensor(DType.F32, (1,) * 16, Space.ARENA, 0)
    arguments = ([tensor] * 5000, list(range(5000)), "x" * 5000, *range(5000))
    with pytest.raises(UnsupportedOperatorError, match=r"aten::own\.out") as raised:
        emit(Instruction(3, "aten::own", "out", arguments, "model.layer", "line\n" * 5000))
    assert len(str(raised.value)) < 1200 and "\n" not in str(raised.value)
    with pytest.raises(UnsupportedOperatorError) as raised:
        emit(Instruction(3, "aten::own", "out", ([1] * 9, [[2] * 8, None]), "model.layer"))
    assert "([1, 1, 1, 1, 1, 1, 1, 1, ...], [[2, 2, 2, 2, 2, 2, 2, 2], None])" in str(raised.value)


# ---- files


def test_a_file_that_is_missing_or_a_folder(refused: Refused, tmp_path: Path) -> None:
    refused(generate(tmp_path / "missing.pte"), INVALID, "missing.pte")
    refused(generate(tmp_path), INVALID)
    refused(generate(Path("x" * 300)), INVALID)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 64, b"\xff" * 4096, b"ET12", b"\x10\0\0\0ET12" + b"\0" * 100, b"PK\x03\x04" + b"x" * 100],
    ids=["empty", "zeros", "ones", "name only", "header only", "a zip"],
)
def test_a_file_that_is_no_program(content: bytes, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(content)
    refused(generate(tmp_path / "model.pte"), INVALID)


def test_truncated_programs(program: bytes, refused: Refused, tmp_path: Path) -> None:
    """Some prefixes through the whole command; tests/compiler takes every one."""
    file = tmp_path / "model.pte"
    for kept in sorted({*range(0, 64, 7), *range(64, len(program), 97), len(program) - 1}):
        file.write_bytes(program[:kept])
        refused(generate(file), INVALID)


def test_corrupt_programs_are_refused_or_generate(
    program: bytes, refused: Refused, tmp_path: Path, work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Some bits flipped, through the whole command; tests/compiler takes thousands."""
    from mcu_sdk import cli

    chance = random.Random(0)
    file = tmp_path / "model.pte"
    codes = []
    for index in range(60):
        damaged = bytearray(program)
        for _ in range(chance.choice((1, 3, 30))):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        codes.append(cli.run(["--quiet", *generate(file, "--output", f"out-{index}")]))
        err = capfd.readouterr().err
        assert codes[-1] in (0, INVALID), err
        assert "defect in mcu-sdk" not in err and "Traceback" not in err
        assert {path.name for path in work.iterdir()} == {
            f"out-{i}" for i, code in enumerate(codes) if code == 0
        }
    assert INVALID in codes and 0 in codes


# ---- combinations


def test_a_model_and_a_program_exclude_each_other(program: bytes, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(program)
    refused(generate(tmp_path / "model.pte", "--model", str(tmp_path)), USAGE, "--model", "--pte")


@pytest.mark.parametrize(
    "content", [b"not json", b"[]", b'{"instructions": 3}', b'{"instructions": ["a", 1]}']
)
def test_names_beside_a_program_that_are_none_are_no_names(
    content: bytes, program: bytes, tmp_path: Path, work: Path
) -> None:
    from mcu_sdk import cli

    (tmp_path / "model.pte").write_bytes(program)
    (tmp_path / "names.json").write_bytes(content)
    assert cli.run(generate(tmp_path / "model.pte", "--output", "out")) == 0
    assert not (work / "out" / "model" / "names.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_tokenizer_that_is_none(content: bytes, refused: Refused, tmp_path: Path, project: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    refused(
        generate(project / "model" / "model.pte", "--tokenizer", str(tmp_path)), INVALID, "tokenizer.json"
    )
