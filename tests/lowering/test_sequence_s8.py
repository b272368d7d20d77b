"""What lies between a sequence's linears becomes int8, and stays close to float."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.lowering.attention_s8 import by_distance
from mcu_sdk.planning.instruction import Tensor
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.recipes.compiled import CompiledModel

LENGTH, WIDTH, HEADS = 8, 32, 2


class Block(nn.Module):
    """Two embeddings, a norm, attention with a bias by distance and padding, a residual sum with its norm, GELU."""

    def __init__(self, spelt_out: bool) -> None:
        super().__init__()
        self.spelt_out = spelt_out
        self.words, self.places = nn.Embedding(20, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down, self.head = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH), nn.Linear(WIDTH, 3)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        distance = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
        slopes = torch.tensor([0.25, 0.5])[:, None, None]
        self.register_buffer("bias", (-slopes * distance.abs())[None])

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(1, LENGTH, HEADS, -1).transpose(1, 2)

    def attend(self, x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.heads(linear(x)) for linear in (self.q, self.k, self.v))
        mask = (1.0 - counts[:, None, None, :].float()) * torch.finfo(torch.float32).min
        if self.spelt_out:
            scores = torch.matmul(q, k.transpose(-1, -2)) / (WIDTH // HEADS) ** 0.5
            return torch.matmul(torch.softmax(scores + self.bias + mask, -1), v)
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.bias + mask)

    def forward(self, ids: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](self.words(ids) + self.places(torch.arange(LENGTH)[None]))
        joined = self.attend(x, counts).transpose(1, 2).reshape(1, LENGTH, WIDTH)
        x = self.norms[1](x + self.o(joined))
        x = self.norms[2](self.down(nn.functional.gelu(self.up(x))) + x)
        return self.head(x)


def calls() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    counts = [LENGTH, 3, 5, 1, 7, LENGTH]
    return [
        (torch.randint(0, 20, (1, LENGTH), generator=generator), (torch.arange(LENGTH) < count)[None].long())
        for count in counts
    ]


def compiled(spelt_out: bool) -> tuple[Block, CompiledModel]:
    torch.manual_seed(0)
    module = Block(spelt_out)
    return module, mcu_sdk.compile_module(module, calls()[0], calibration=calls())


def test_a_block_is_int8_from_its_first_norm_to_its_head() -> None:
    module, made = compiled(spelt_out=False)
    counts = Counter(instruction.operator for instruction in read_pte(made.pte).instructions)
    assert counts == {
        "mcu::embedding_s8": 1,
        "mcu::embedding_s8_add_": 1,
        "mcu::layer_norm_s8": 3,
        "mcu::linear_s8_requantize": 6,
        "mcu::sequence_attention_s8": 1,
        "mcu::lookup_s8_": 1,
        "mcu::linear_s8_static": 1,
    }
    interpreter, found, wanted = Interpreter(read_pte(made.pte)), [], []
    for ids, mask in calls():
        count = int(mask.sum())
        found.append(interpreter.run(ids, mask)[0][0, :count])
        wanted.append(module(ids, mask)[0, :count].detach())
    error = (torch.cat(found) - torch.cat(wanted)).norm() / torch.cat(wanted).norm()
    assert error < 0.05


@pytest.mark.slow
def test_attention_that_is_spelt_out_is_the_same() -> None:
    one, other = (read_pte(compiled(spelt_out)[1].pte) for spelt_out in (False, True))
    assert [i.full_name for i in one.instructions] == [i.full_name for i in other.instructions]
    for ids, mask in calls()[:2]:
        torch.testing.assert_close(
            Interpreter(one).run(ids, mask)[0], Interpreter(other).run(ids, mask)[0], rtol=0.02, atol=0.02
        )


class Pooled(nn.Module):
    """A residual sum with its norm, of which a linear reads one row."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 24), nn.Linear(24, 16)
        self.last, self.pooler = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        return self.pooler(self.last(x + self.down(torch.tanh(self.up(x))))[:, 0])


def test_a_row_is_taken_from_int8() -> None:
    x = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(1))
    counts = Counter(i.operator for i in read_pte(mcu_sdk.compile_module(Pooled(), x).pte).instructions)
    assert counts == {
        "mcu::layer_norm_s8": 2,
        "mcu::linear_s8_requantize": 2,
        "mcu::lookup_s8_": 1,
        "aten::select_copy": 1,
        "mcu::linear_s8_static": 1,
    }


class Sum(nn.Module):
    """A residual stream that no norm ends: it stays float."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 24), nn.Linear(24, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.down(torch.tanh(self.up(self.norm(x))))
        return x + self.down(torch.tanh(self.up(self.norm(x))))


def test_a_stream_that_goes_on_stays_float() -> None:
    x = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(1))
    made = mcu_sdk.compile_module(Sum(), x)
    counts = Counter(instruction.operator for instruction in read_pte(made.pte).instructions)
    assert counts == {
        "mcu::layer_norm_s8": 2,
        "mcu::linear_s8_requantize": 2,
        "mcu::lookup_s8_": 2,
        "mcu::linear_s8_static": 2,
        "aten::add": 2,
    }


class Grouped(nn.Module):
    """Attention of four heads of queries over two of keys and values, `repeated` or not."""

    def __init__(self, repeated: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.out = nn.Linear(32, 32), nn.Linear(32, 32)
        self.k, self.v = nn.Linear(32, 16), nn.Linear(32, 16)
        self.repeated = repeated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (linear(x).view(1, 9, -1, 8).transpose(1, 2) for linear in (self.q, self.k, self.v))
        if self.repeated:
            k, v = (value[:, :, None].expand(1, 2, 2, 9, 8).reshape(1, 4, 9, 8) for value in (k, v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=not self.repeated)
        return self.out(mixed.transpose(1, 2).reshape(1, 9, 32))


@pytest.mark.parametrize("repeated", [pytest.param(False, marks=pytest.mark.slow), True])
def test_heads_that_share_keys_and_values_read_them_once(repeated: bool) -> None:
    xs = [torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    made = mcu_sdk.compile_module(Grouped(repeated), xs[0], calibration=xs)
    program = read_pte(made.pte)
    (attention,) = (each for each in program.instructions if each.operator == "mcu::sequence_attention_s8")
    shapes = [value.shape for value in attention.arguments[:3] if isinstance(value, Tensor)]
    assert shapes == [(1, 9, 32), (1, 9, 16), (1, 9, 16)]
    assert not {"aten::expand_copy", "aten::bmm"} & {each.operator for each in program.instructions}
    assert made.facts["accuracy"]["relative_rms_error"] < 0.06


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (1, 6, 2)])
def test_a_table_by_distance(shape: tuple[int, int, int]) -> None:
    heads, queries, positions = shape
    row = torch.randn(heads, queries + positions - 1)
    places = queries - 1 - torch.arange(queries)[:, None] + torch.arange(positions)
    assert torch.equal(by_distance(row[:, places])[:, 0], row)
    other = torch.randn(shape)
    if min(queries, positions) > 1:
        assert torch.equal(by_distance(other), other)
