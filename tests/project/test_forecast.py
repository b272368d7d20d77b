"""What the sizes of a checkpoint alone decide, before PyTorch is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.errors import DoesNotFitError
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
    """No masks, no positions, one matrix where embedding and head share it; a byte each, or half of one."""
    assert forecast().least().weights == LINEARS + 256_000
    assert forecast(tie_word_embeddings=False).least().weights == LINEARS + 512_000
    assert forecast(int4=True).least().weights == (LINEARS + 256_000) // 2
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
    assert halved == forecast(int4=True).least().weights + 8 * 64 * 256 // 2
    with pytest.raises(DoesNotFitError, match=r"131,072 bytes are experts, all of which lie in the image"):
        check_forecast(two_regions(64 * 1024, flash=256 * 1024), asked)
