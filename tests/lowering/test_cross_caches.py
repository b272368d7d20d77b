"""The caches of cross attention: written by a method `encoder`, read by the steps of `forward`, in one .pte and one plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import export

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.errors import PteError
from mcu_sdk.lowering.cross_caches import run_encoder, write_caches
from mcu_sdk.lowering.encoder_decoder import LAST, cross_names
from mcu_sdk.lowering.fuse.cross_attention import scales_of
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.metadata import encoder_metadata
from mcu_sdk.lowering.run_step import StepRunner
from mcu_sdk.planning.instruction import DType, Tensor
from mcu_sdk.planning.language_model import EncoderSide, LanguageModel, describe_language_model
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.project.self_test import vectors

mcu = torch.ops.mcu
LENGTH, VOCABULARY, WIDTH, HEADS = 6, 24, 16, 2
SOURCE = (7, 3, 20, 11)


class Tables(nn.Module):
    """A table of int8 rows, which both halves read, and one that the encoder reads alone."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        for name in ("shared", "other"):
            values = torch.randint(-127, 128, (VOCABULARY, WIDTH), generator=generator)
            self.register_buffer(name, values.to(torch.int8))
        self.register_buffer("scale", torch.rand(VOCABULARY, generator=generator) * 0.03 + 0.005)


class Heads(Tables):
    """Keys and values of one layer, turned as a model turns them."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = []
        for table in (self.shared, self.other):
            x = mcu.embedding_s8(table, self.scale, input_ids).view(1, LENGTH, HEADS, -1).transpose(1, 2)
            rows.append(torch.cat([x.new_zeros(0), x], -2)[0].transpose(0, 1)[:, :, None])
        return rows[0], rows[1]


class Step(Tables):
    """Attention of one token to what the encoder wrote."""

    def __init__(self) -> None:
        super().__init__()
        channels = WIDTH // HEADS
        shapes = ((1, HEADS, LENGTH, channels), (1, HEADS, channels, LENGTH))
        for name, shape in zip(cross_names(0), shapes, strict=True):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int8))
            self.register_buffer(scales_of(name), torch.zeros(1, HEADS, LENGTH, dtype=torch.float16))

    def forward(
        self, input_ids: torch.Tensor, cache_position: torch.Tensor, encoder_last: torch.Tensor
    ) -> torch.Tensor:
        q = mcu.embedding_s8(self.shared, self.scale, input_ids).view(1, HEADS, 1, -1)
        kept = [getattr(self, name) for name in cross_names(0)]
        scales = [getattr(self, scales_of(name)) for name in cross_names(0)]
        out, _ = mcu.attention_s8_dynamic(q, *kept, *scales, encoder_last, 0.3)
        row, scale = mcu.quantize_rows(out.view(1, 1, WIDTH))
        return mcu.linear_s8(row, scale, self.shared, self.scale, None)


def token(value: int) -> torch.Tensor:
    return torch.tensor([[value]])


def source(ids: tuple[int, ...] = SOURCE) -> tuple[torch.Tensor, torch.Tensor]:
    rest = LENGTH - len(ids)
    return torch.tensor([[*ids, *[0] * rest]]), torch.tensor([[1] * len(ids) + [0] * rest])


@pytest.fixture(scope="module")
def programs() -> tuple[torch.export.ExportedProgram, torch.export.ExportedProgram]:
    encoder = export(Heads(), source(), strict=False).run_decompositions({})
    write_caches(encoder)
    given = {"input_ids": token(1), "cache_position": torch.tensor([0]), LAST: torch.tensor([0])}
    return encoder, export(Step(), (), given, strict=False).run_decompositions({})


@pytest.fixture(scope="module")
def both(programs: tuple[torch.export.ExportedProgram, ...]) -> Pte:
    encoder, step = programs
    metadata = {"get_max_seq_len": 9, **encoder_metadata([2, 5], 1)}
    return read_pte(lower(step, metadata, encoder=encoder).pte)


def test_the_encoder_writes_each_row_at_its_own_scale(
    programs: tuple[torch.export.ExportedProgram, ...],
) -> None:
    kept = run_encoder(programs[0], source())
    keys, values = (rows[:, :, 0].transpose(0, 1) for rows in Heads()(*source()))
    found = kept["cross_key_0"][0].float() * kept["cross_key_0_scales"][0, :, :, None].float()
    torch.testing.assert_close(found, keys, atol=float(keys.abs().max()) / 250, rtol=0.0)
    turned = kept["cross_value_0"][0].float().transpose(1, 2) * kept["cross_value_0_scales"][0, :, :, None]
    torch.testing.assert_close(turned, values, atol=float(values.abs().max()) / 250, rtol=0.0)


def test_turning_heads_there_and_back_copies_nothing(both: Pte) -> None:
    assert both.encoder is not None
    operators = [call.operator for call in both.encoder.instructions]
    assert not {"aten::permute_copy", "aten::cat", "dim_order_ops::_clone_dim_order"} & set(operators)
    assert operators.count("mcu::cache_write_dynamic_") == 1  # in place
    assert operators.count("mcu::cache_write_columns_dynamic_") == 1


def test_one_file_shares_weights_and_caches(both: Pte) -> None:
    assert both.encoder is not None
    places = {buffer.name: buffer.tensor for buffer in both.mutable_buffers}
    assert len(both.encoder.mutable_buffers) == 4
    assert all(places[buffer.name] == buffer.tensor for buffer in both.encoder.mutable_buffers)
    constants = [{(t.offset, t.nbytes) for t in method.constants} for method in (both, both.encoder)]
    table = VOCABULARY * WIDTH
    assert [nbytes for _, nbytes in constants[0] & constants[1] if nbytes == table] == [table]


def test_the_steps_attend_to_what_counts(
    both: Pte, programs: tuple[torch.export.ExportedProgram, ...]
) -> None:
    assert both.encoder is not None
    forward = Interpreter(both)
    encoder = Interpreter(both.encoder, beside=forward)
    ids, mask = source()
    encoder.run_stored([ids[0].numpy(), mask[0].numpy()])
    state = {**run_encoder(programs[0], source()), LAST: torch.tensor([len(SOURCE) - 1])}
    tokens = torch.tensor([[4, 9]])
    wanted = StepRunner(programs[1]).run(tokens, [state])[0].numpy()
    for position, row in enumerate(wanted):
        given = [tokens[0, position : position + 1].numpy(), np.array([position]), state[LAST].numpy()]
        assert np.array_equal(forward.run_stored(given)[0], row)
    other = ids[0].numpy().copy()
    other[len(SOURCE) :] = 17  # behind the last one that counts
    encoder.run_stored([other, mask[0].numpy()])
    assert np.array_equal(forward.run_stored(given)[0], wanted[-1])
    assert not np.array_equal(forward.run_stored([*given[:2], given[2] + 1])[0], wanted[-1])


def test_one_plan_in_one_arena(both: Pte) -> None:
    plan = compile_plan(both)
    assert plan.encoder is not None and both.encoder is not None
    assert plan.arena_bytes == max(plan.own_arena_bytes, plan.encoder.own_arena_bytes)
    described = describe_language_model(plan)
    assert described is not None and described.encoder == EncoderSide((2, 5), LENGTH, 1)
    tested = {kernel for vector in vectors(both, plan) for kernel in vector.kernels}
    assert tested == {planned.call.function for planned in plan.all_calls}
    assert len(plan.to_template()["encoder"]["calls"]) == len(plan.encoder.calls)


def test_an_encoder_of_tensors_and_what_is_never_chosen(both: Pte) -> None:
    """Of which the last is the mask of the rows that count where steps are told so, and of which all count where not."""
    barred = {"get_suppressed_ids": [3, 7], "get_first_suppressed_ids": [1]}
    plan = compile_plan(replace(both, metadata={**both.metadata, **barred}))
    assert plan.encoder is not None
    ids, mask = plan.encoder.inputs
    samples = replace(ids, dtype=DType.S16, shape=(1, 40))

    def described(taken: tuple[Tensor, ...], told: int) -> LanguageModel | None:
        assert plan.encoder is not None
        changed = replace(plan, inputs=plan.inputs[:told], encoder=replace(plan.encoder, inputs=taken))
        return describe_language_model(changed)

    masked, whole = described((samples, mask), 3), described((samples,), 2)
    assert masked is not None and masked.encoder == EncoderSide((2, 5), tensors=2, mask_input=1)
    assert (masked.suppressed, masked.first_suppressed) == ((3, 7), (1,))
    assert whole is not None and whole.encoder == EncoderSide((2, 5), tensors=1)
    with pytest.raises(PteError, match="the mask of the rows that count"):
        described((mask, samples), 3)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"get_suppressed_ids": list(range(VOCABULARY))}, "no token may be chosen"),
        ({"get_decoder_start_ids": []}, "the tokens that the decoder begins with were expected"),
        ({"get_decoder_start_ids": [VOCABULARY]}, "the tokens that the decoder begins with were expected"),
        ({"get_max_seq_len": 0}, "has a method encoder, but its forward is no step"),
    ],
)
def test_what_does_not_say_how_it_is_used_is_refused(
    metadata: dict[str, object], message: str, both: Pte
) -> None:
    plan = compile_plan(replace(both, metadata={**both.metadata, **metadata}))
    with pytest.raises(PteError, match=message):
        describe_language_model(plan)
