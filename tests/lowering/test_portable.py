"""A step of ExecuTorch's own operators: what becomes of its weights, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.lowering.portable import check_portable, portable_operators, to_int8_weights
from mcu_sdk.options import CompileOptions, GenerateRequest, Kind


class Small(torch.nn.Module):
    """A table that an embedding and a linear share, a linear with a bias, one that chooses, and a row of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(12, 8)
        self.inner = torch.nn.Linear(8, 6)
        self.router = torch.nn.Linear(8, 3, bias=False)
        with torch.no_grad():
            self.inner.weight[2] = 0

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.table(ids)
        return (
            self.inner(x),
            torch.topk(self.router(x), 1)[1],
            torch.nn.functional.linear(x, self.table.weight),
        )


def test_weights_become_int8_rows_and_a_shared_table_is_stored_once() -> None:
    torch.manual_seed(0)
    module, ids = Small().eval().requires_grad_(False), torch.tensor([[3, 0, 11]])
    program = torch.export.export(module, (ids,), strict=False).run_decompositions({})
    wanted = module(ids)
    assert to_int8_weights(program, frozenset()) == {"int8_linears": 2, "float_linears": 1}
    stored = [value for value in program.state_dict.values() if value.dtype == torch.int8]
    assert sorted(value.shape for value in stored) == [(6, 8), (12, 8)]
    assert all(int(value.min()) >= -127 for value in stored)
    found = program.module()(ids)
    assert torch.equal(found[1], wanted[1])
    for left, right, weights in (
        (found[0], wanted[0], module.inner.weight),
        (found[2], wanted[2], module.table.weight),
    ):
        # Half a step for each of 8 weights, twice where the input itself comes out of such a table.
        steps = max(weights.abs().max(), module.table.weight.abs().max()) / 127 / 2
        x = module.table(ids).abs().max()
        assert (left - right).abs().max() <= 2 * 8 * steps * max(x, weights.abs().max())


def test_the_lists_of_kernels_have_what_their_libraries_register() -> None:
    """Both libraries are loaded by the runtime of ExecuTorch's package; what is no kernel of these comes with others."""
    wanted = {"aten::add.out", "aten::index_put_", "quantized_decomposed::mixed_linear.out"}
    assert wanted < portable_operators()
    assert not any(name.startswith(("mcu::", "cortex_m::")) for name in portable_operators())


def test_an_operator_that_neither_library_has_is_named() -> None:
    check_portable(["aten::add.out", "executorch_prim::add.Scalar"])
    with pytest.raises(ModelError, match=r"aten::silu\.out is none of them"):
        check_portable(["aten::add.out", "aten::silu.out"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (CompileOptions(operators="portable", weights="int4"), "--weights and --operators portable"),
        (CompileOptions(operators="portable", weights="auto"), "--weights and --operators portable"),
        (CompileOptions(operators="portable", prefill=8), "--prefill and --operators portable"),
        (CompileOptions(operators="portable", when_full="slide"), "--when-full and --operators portable"),
        (
            CompileOptions(operators="portable", activations="static"),
            "--activations and --operators portable",
        ),
        (CompileOptions(operators="portable", cache_scales="calibrated"), "--kv-scales and --operators"),
        (CompileOptions(operators="stock"), "--operators is 'mcu' or 'portable'"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_go_together_is_refused(options: CompileOptions, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options.check()


@pytest.mark.parametrize("kind", [Kind.ENCODER, Kind.ENCODER_DECODER])
def test_it_is_for_decoders(kind: Kind) -> None:
    request = GenerateRequest("host", CompileOptions(operators="portable"))
    request.check(None)
    replace(request, runtime="executorch").check(None)  # a project for the same runtime
    with pytest.raises(UsageError, match="--operators is for a decoder's checkpoint"):
        request.check_kind(kind)
