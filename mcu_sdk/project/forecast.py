"""What a checkpoint will need at least, and at most, from its files' headers: said before anything slow is begun."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from mcu_sdk.board.board import Board
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.operators.layouts import ROWS, int4_bytes, packed_bytes
from mcu_sdk.planning.fit import Sizes, bytes_over, contents, could_hold, fits, place

Shape = tuple[int, ...]

LONGEST_DEFAULT = 2048
"""Positions of a cache where nothing is asked for, at most (lowering/export.py)."""

_POSITIONS = re.compile(r"(^|\.)(wpe|embed_positions|position_embeddings?|rotary_emb)\b")
_EMBEDDING = re.compile(r"(^|\.)(wte|embed_tokens|embed_in|word_embeddings)\b|(^|\.)(lm_head|embed_out)\b")
_EXPERTS = re.compile(r"\.experts\.")
"""Linears of a mixture of experts."""
_ROUTER = re.compile(r"\.(gate|router)\.((layer|linear)\.)?weight$")
"""Of such a mixture, which stay floats."""
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\b")

_ALL_HEADS = ("gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "phi", "bloom")
"""Types of models that keep keys and values of every head, and have no number of such heads in their configuration."""

_TURNED = re.compile(r"(^|\.)(c_attn|q_attn|c_fc|c_proj)\.weight$")
"""Matrices that some families store as [in, out]."""

MOST_CODE, MOST_CODE_OF_LAYER = 40 * 1024, 2 * 1024
"""Bytes of code and tables of a decoder at most, and of each layer's calls."""


@dataclass(frozen=True)
class Forecast:
    """Bounds of a decoder: `shapes` of its stored tensors by name, its configuration, and what was asked for."""

    shapes: Mapping[str, Shape]
    config: Mapping[str, Any]
    length: int | None
    int4: bool = False

    @property
    def positions(self) -> int | None:
        """Positions of the cache, if the configuration says."""
        limit = self.config.get("max_position_embeddings", self.config.get("n_positions"))
        if self.length is not None:
            return self.length
        return min(limit, LONGEST_DEFAULT) if isinstance(limit, int) and limit > 0 else None

    def least(self) -> Sizes:
        """No image of this model has less of anything."""
        counted = sum(self._least_of(name, shape) for name, shape in self._matrices().items())
        cache = self._cache(self.positions or 1)
        return Sizes(code=0, bss=0, weights=counted, kv_cache=cache)

    def of_experts(self) -> int:
        """Bytes of all experts' weights, at least."""
        found = (each for each in self.shapes.items() if _EXPERTS.search(each[0]) and len(each[1]) > 1)
        return sum(self._least_of(*each) for each in found)

    def _least_of(self, name: str, shape: Shape) -> int:
        """Bytes of a matrix, or of one for each expert: a byte for each weight, or blocks of int4 where these are fewer."""
        if not self.int4 or (_EMBEDDING.search(name) and not _HEAD.search(name)):
            return prod(shape)
        return prod(shape[:-2]) * min(prod(shape[-2:]), *(int4_bytes(*side) for side in _sides(name, shape)))

    def most(self, length: int, *, int4: bool) -> Sizes:
        """An image of this model with `length` positions has no more, if its operators are fused."""
        weights = 64 * 1024
        for name, shape in self.shapes.items():
            if len(shape) < 2 or _ROUTER.search(name):
                weights += 4 * prod(shape) + 64
            else:
                halved = int4 and not _EMBEDDING.search(name)
                weights += (
                    prod(shape[:-2]) * max(_most_of(*side, halved) for side in _sides(name, shape)) + 64
                )
        hidden = self._number("hidden_size", "n_embd") or 0
        wide = self._number("intermediate_size", "n_inner") or 0
        weights += 8 * length * max(hidden, 1)  # tables of the rotation
        vocabulary = self._number("vocab_size") or 0
        heads = self._number("num_attention_heads", "n_head") or 1
        arena = 4 * (2 * vocabulary + 8 * max(wide, 4 * hidden) + 16 * hidden + 4 * heads * length) + 4096
        tokenizer = 32 * vocabulary
        return Sizes(
            code=MOST_CODE + MOST_CODE_OF_LAYER * (self._number("num_hidden_layers", "n_layer") or 0),
            bss=16 * length + 16 * 1024,
            weights=weights,
            tokenizer=tokenizer,
            arena=arena,
            kv_cache=int(self._cache(length, most=True) * 1.1) + 4096,
        )

    def _matrices(self) -> dict[str, Shape]:
        """The stored matrices that the .pte will have: no masks, no positions (of which few may be used), and of an
        embedding and a head that share their weights only one."""
        tied = bool(self.config.get("tie_word_embeddings", True))
        found = {}
        for name, shape in self.shapes.items():
            if len(shape) < 2 or not name.endswith("weight") or _POSITIONS.search(name):
                continue
            if tied and _HEAD.search(name):
                continue
            found[name] = shape
        return found

    def _cache(self, length: int, *, most: bool = False) -> int:
        """Bytes of an int8 KV cache of `length` positions; 0 where the configuration does not say, or has windows."""
        config = self.config
        layers, heads = (
            self._number("num_hidden_layers", "n_layer"),
            self._number("num_attention_heads", "n_head"),
        )
        hidden = self._number("hidden_size", "n_embd")
        windows = config.get("sliding_window") or config.get("attention_layers")
        windows = windows or set(config.get("layer_types") or ()) - {"full_attention"}
        if not layers or not heads or not hidden or (windows and not most):
            return 0
        groups = self._number("num_key_value_heads", "num_kv_heads")
        if groups is None:
            groups = heads if most or config.get("model_type") in _ALL_HEADS else 1
        width = self._number("head_dim") or hidden // heads
        scales = 8 * layers * groups * length if most else 0
        return 2 * layers * groups * width * length + scales

    def _number(self, *names: str) -> int | None:
        values = (self.config.get(name) for name in names)
        return next((value for value in values if isinstance(value, int) and value > 0), None)


def _sides(name: str, shape: Shape) -> list[tuple[int, int]]:
    """Outputs and inputs of a matrix; both ways round where its name does not say which comes first."""
    first, second = shape[-2:]
    either = _TURNED.search(name) or len(shape) > 2
    return [(first, second), (second, first)] if either else [(first, second)]


def _most_of(rows: int, columns: int, halved: bool) -> int:
    """Bytes of a matrix in an image at most: int4 in blocks where these are smaller than int8, else int8, packed for vectors
    or not, with a scale for each row."""
    if halved and int4_bytes(rows, columns) < rows * columns:
        return int4_bytes(rows, columns)
    return max(packed_bytes(rows, columns), rows * columns) + 4 * (rows + ROWS)


def check_forecast(board: Board, forecast: Forecast) -> None:
    """Raise DoesNotFitError if a board cannot hold the least that a checkpoint will need."""
    if board.is_host:
        return
    least = forecast.least()
    layout = place(board, least)
    over = bytes_over(board, layout)
    if not over or could_hold(board, least):
        return
    told = [
        f"region '{name}' of {board.regions[name].size:,} bytes is over by at least {count:,} bytes "
        f"({contents(board, least, layout, board.regions[name])})"
        for name, count in over.items()
    ]
    experts = forecast.of_experts()
    more = f" Of its weights {experts:,} bytes are experts, all of which lie in the image." if experts else ""
    raise DoesNotFitError(
        f"The model cannot fit {board.name}, by the sizes of its checkpoint alone: {'; '.join(told)}.{more}",
        hint=_advice(board, forecast),
        changes=_worth_trying(board, forecast),
    )


def _worth_trying(board: Board, forecast: Forecast) -> list[dict[str, object]]:
    """The mildest change of options with which the least would fit: not sure, but found out by trying."""
    now = forecast.positions or LONGEST_DEFAULT
    for int4 in sorted({forecast.int4, True}):
        changed = replace(forecast, int4=int4)
        longest = _longest(now, lambda length: fits(board, replace(changed, length=length).least()))  # noqa: B023
        if longest:
            change: dict[str, object] = {"weights": "int4"} if int4 != forecast.int4 else {}
            return [change | ({"cache_length": longest} if longest != now else {})]
    return []


def _advice(board: Board, forecast: Forecast) -> str:
    """What is sure to fit."""
    now = forecast.positions
    for int4 in (forecast.int4, True):
        longest = _longest(
            now or LONGEST_DEFAULT,
            lambda length: fits(board, forecast.most(length, int4=int4)),  # noqa: B023
        )
        if not longest:
            continue
        options = ["--weights int4"] if int4 and not forecast.int4 else []
        if longest != now:
            options.append(f"--max-cache-len {longest}" + (f" (now {now})" if now else ""))
        if options:
            return f"It fits with {' and '.join(options)}."
    return "Take a smaller model, or a board with more memory."


def _longest(length: int, fits: Callable[[int], bool]) -> int:
    """The longest cache up to `length` that fits; 0 if none does."""
    low, high = 0, length
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
