"""What the sizes of a checkpoint alone decide, before PyTorch is loaded."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.operators.layouts import MOST_PADDING
from mcu_sdk.operators.reference.int4 import pack_groups
from mcu_sdk.operators.reference.packed import pack, pad_channels
from mcu_sdk.planning.fit import fits
from mcu_sdk.project.forecast import Forecast, check_forecast
from tests.planning.test_fit import two_regions

CONFIG = {
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "hidden_size": 256,
    "intermediate_size": 512,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
}
LAYER = {
    "self_attn.q_proj.weight": (256, 256),
    "self_attn.k_proj.weight": (128, 256),
    "self_attn.v_proj.weight": (128, 256),
    "self_attn.o_proj.weight": (256, 256),
    "mlp.gate_proj.weight": (512, 256),
    "mlp.up_proj.weight": (512, 256),
    "mlp.down_proj.weight": (256, 512),
    "input_layernorm.weight": (256,),
}
SHAPES: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (1000, 256),
    "lm_head.weight": (1000, 256),
    "model.rotary_emb.inv_freq": (16,),
    "transformer.wpe.weight": (512, 256),
    "model.layers.0.attn.bias": (1, 1, 512, 512),
    **{f"model.layers.{i}.{name}": shape for i in range(4) for name, shape in LAYER.items()},
}
LINEARS = 4 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256)


def forecast(length: int | None = None, *, int4: bool = False, **config: Any) -> Forecast:
    return Forecast(SHAPES, CONFIG | config, length, int4)


def test_the_least_counts_what_every_image_has() -> None:
    """No masks, no positions, one matrix where embedding and head share it; a byte each, or blocks of int4."""
    assert forecast().least().weights == LINEARS + 256_000
    assert forecast(tie_word_embeddings=False).least().weights == LINEARS + 512_000
    assert (
        forecast(int4=True).least().weights == LINEARS * 9 // 16 + 256_000
    )  # with bfloat16 factors; not the embedding
    assert forecast(100).least().kv_cache == 2 * 4 * 4 * 32 * 100
    assert forecast(100, sliding_window=16).least().kv_cache == 0  # nobody knows how long
    mixed = ["full_attention", "sliding_attention"]
    assert forecast(100, layer_types=mixed).least().kv_cache == 0
    assert forecast(100, layer_types=mixed[:1] * 4).least().kv_cache == 2 * 4 * 4 * 32 * 100
    assert forecast(100, num_key_value_heads=None).least().kv_cache == 2 * 4 * 32 * 100
    assert forecast(100, num_key_value_heads=None, model_type="gpt2").least().kv_cache == 2 * 4 * 8 * 32 * 100
    assert Forecast(SHAPES, {}, None).least().kv_cache == 0


def test_a_board_with_room_passes() -> None:
    check_forecast(load_board("corstone-300"), forecast())
    check_forecast(load_board("host"), forecast())


def test_every_region_that_is_over_is_named() -> None:
    board = two_regions(64 * 1024, flash=256 * 1024)
    with pytest.raises(DoesNotFitError) as caught:
        check_forecast(board, forecast())
    assert "region 'flash' of 262,144 bytes is over by at least" in caught.value.message
    assert "region 'ram' of 65,536 bytes is over by at least" in caught.value.message
    assert caught.value.exit_code == 5 and "smaller model" in caught.value.hint


@pytest.mark.parametrize(
    ("board", "advice"),
    [
        (two_regions(512 * 1024, flash=3 << 20), "--max-cache-len "),
        (two_regions(4 << 20, flash=LINEARS + 200_000), "--weights int4"),
        (two_regions(320 * 1024, flash=LINEARS + 200_000), "--weights int4 and --max-cache-len "),
    ],
)
def test_what_is_advised_fits(board: Board, advice: str) -> None:
    asked = forecast(
        **({} if "int4" in advice and "cache" not in advice else {"max_position_embeddings": 2048})
    )
    with pytest.raises(DoesNotFitError) as caught:
        check_forecast(board, asked)
    assert advice in caught.value.hint
    words = caught.value.hint.replace(".", " ").split()
    length = int(words[words.index("--max-cache-len") + 1]) if "--max-cache-len" in words else asked.positions
    assert length is not None
    assert fits(board, asked.most(length, int4="int4" in caught.value.hint))
    check_forecast(board, Forecast(SHAPES, asked.config, length, "int4" in caught.value.hint))


def test_experts_are_halved_by_int4_and_named_where_they_do_not_fit() -> None:
    matrices = {f"model.layers.0.mlp.experts.{i}.up_proj.weight": (64, 256) for i in range(8)}
    asked = Forecast(SHAPES | matrices, CONFIG, None)
    assert asked.of_experts() == 8 * 64 * 256 and forecast().of_experts() == 0
    halved = Forecast(SHAPES | matrices, CONFIG, None, int4=True).least().weights
    assert halved == forecast(int4=True).least().weights + 8 * 64 * 256 * 9 // 16
    with pytest.raises(DoesNotFitError, match=r"131,072 bytes are experts, all of which lie in the image"):
        check_forecast(two_regions(64 * 1024, flash=256 * 1024), asked)


@pytest.mark.parametrize("shape", [(64, 96), (7, 33), (2, 256), (100, 100), (1, 1), (40, 5), (3, 24, 70)])
@pytest.mark.parametrize("int4", [False, True])
def test_what_a_matrix_takes_is_what_the_lowering_makes_of_it(shape: tuple[int, ...], int4: bool) -> None:
    """Never under, and over by no more than a few scales and what a constant is aligned by; of experts, which may lie the
    other way round, of the larger of the two."""
    name = (
        "model.layers.0.mlp.up_proj.weight"
        if len(shape) == 2
        else "model.layers.0.mlp.experts.up_proj.weight"
    )
    found = (
        Forecast({name: shape}, {}, 1).most(1, int4=int4).weights
        - Forecast({}, {}, 1).most(1, int4=int4).weights
    )
    sides = {shape[-2:], shape[:-3:-1]} if len(shape) == 3 else {shape}
    made = (
        shape[0] * max(lowered(*side, int4) for side in sides) if len(shape) == 3 else lowered(*shape, int4)
    )
    assert made <= found <= made + 64 + 4 * 2 * 8 * (shape[0] if len(shape) == 3 else 1)
    least = Forecast({name: shape}, {}, 1, int4).least().weights
    assert least <= made


@pytest.mark.parametrize("name", ["mlp.gate.weight", "mlp.router.weight", "moe.router.layer.weight"])
def test_a_router_stays_in_floats(name: str) -> None:
    both = [
        Forecast(shapes, {}, 1).most(1, int4=True).weights
        for shapes in ({}, {f"model.layers.0.{name}": (8, 64)})
    ]
    assert both[1] - both[0] == 4 * 8 * 64 + 64


def lowered(n: int, k: int, int4: bool) -> int:
    """Bytes of the constants of a linear, packed for vectors where it can be, with its scales."""
    groups = -(-k // 32)
    blocks = pack_groups(torch.zeros(n, k, dtype=torch.int8), torch.ones(n, groups).bfloat16())
    if int4 and blocks.numel() < n * k:
        return blocks.numel()
    packed = pack(torch.zeros(n, k, dtype=torch.int8))
    is_packed = packed.numel() <= MOST_PADDING * n * k
    return packed.numel() + 4 * pad_channels(torch.zeros(n)).numel() if is_packed else n * k + 4 * n
