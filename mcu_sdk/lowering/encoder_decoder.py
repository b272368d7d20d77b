"""An encoder with a decoder that attends to it -> two programs: the encoder up to the keys and values of each layer's cross
attention, and one step of the decoder over these.

transformers' Seq2SeqLMExportableModule gives its decoder the encoder's last hidden states at every step, so that every
step computes keys and values of them again, and has no mask for them. Here the same parts (a static cache for the
decoder, an encoder run once) have a cache for the cross attention, too, which the encoder's program writes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn
from torch.export import ExportedProgram

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.export import branches_on_values
from mcu_sdk.lowering.fuse.cross_attention import KEYS, LAST, VALUES
from mcu_sdk.lowering.fuse.graph import mutate_buffer
from mcu_sdk.text import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MASK = "attention_mask"

HALVES_OR_PTE = (
    "Save one of its halves as a checkpoint of its own, or lower it yourself and pass it with --pte."
)


def cross_names(layer: int) -> tuple[str, str]:
    """The buffers of a layer's cross attention: keys, values."""
    return f"{KEYS}{layer}", f"{VALUES}{layer}"


class Encoder(Protocol):
    """What reads the text, or hears the sound: a module of the names of its inputs, whose first output are the last hidden
    states; `given`: what its model is called with. An input MASK, int64[1, Le], says which of its rows count."""

    input_names: tuple[str, ...]

    def given(self, inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]: ...

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]: ...


class Heads(nn.Module):
    """forward(*the encoder's inputs) -> keys and values of each decoder layer's cross attention, float32[Le, H, 1, D]
    each: a row for each of the encoder's positions, as they are written to a cache."""

    def __init__(self, model: PreTrainedModel, encoder: Encoder) -> None:
        super().__init__()
        self.model, self.encoder = model, encoder
        self.input_names = encoder.input_names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = self.encoder(*inputs)[0]
        first = torch.zeros(1, 1, dtype=torch.int64)
        layers = _kept_of(self.model, hidden, first).cross_attention_cache.layers
        return tuple(
            kept[0].transpose(0, 1)[:, :, None] for layer in layers for kept in (layer.keys, layer.values)
        )


def attended(hidden: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, Any]:
    """What a model is called with in the place of its encoder's inputs: the hidden states [1, Le, width] and the mask
    int64[1, Le] of those that count (None: all), beside them as T5 takes it, and among them as Moonshine does."""
    output = _given_class()(last_hidden_state=hidden)
    output.attention_mask = mask
    return {"encoder_outputs": output} if mask is None else {"encoder_outputs": output, MASK: mask}


@functools.cache
def _given_class() -> Any:
    """Of what an encoder gave: its last hidden states. Whatever else a class may look for (the logits of its routers, for
    example) is None, as transformers has what nobody asked for."""
    from transformers.modeling_outputs import BaseModelOutput

    class Given(BaseModelOutput):
        def __getattr__(self, name: str) -> None:
            if name.startswith("_"):
                raise AttributeError(name)

    return Given


def _kept_of(model: PreTrainedModel, hidden: torch.Tensor, tokens: torch.Tensor) -> Any:
    """What a decoder keeps of the encoder's hidden states and of tokens int64[1, n]."""
    from transformers import DynamicCache, EncoderDecoderCache

    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    model(**attended(hidden), decoder_input_ids=tokens, past_key_values=cache, use_cache=True)
    return cache


class Step(nn.Module):
    """forward(input_ids int64[1,1], cache_position int64[1][, encoder_last int64[1]]) -> logits float32[1,1,V].

    `kept`: what the decoder keeps of a first token, whose shapes its caches get, with `length` positions of its own and
    those of the encoder. `masked`: whether the encoder's rows behind `encoder_last` are padding.
    """

    def __init__(self, model: PreTrainedModel, kept: Any, length: int, *, masked: bool) -> None:
        super().__init__()
        from transformers import StaticCache
        from transformers.cache_utils import StaticLayer

        self.model, self.masked = model, masked
        own, cross = kept.self_attention_cache.layers, kept.cross_attention_cache.layers
        self.cache = StaticCache(config=model.config.get_text_config(decoder=True), max_cache_len=length)
        layers: list[Any] = [StaticLayer(length) for _ in own]
        self.cache.layers = layers
        for index, (layer, one) in enumerate(zip(layers, own, strict=True)):
            layer.lazy_initialization(one.keys, one.values)
            for name, value in zip(self._own(index), (layer.keys, layer.values), strict=True):
                self.register_buffer(name, value, persistent=False)
            self.register_buffer(f"cumulative_length_{index}", layer.cumulative_length, persistent=False)
        for index, one in enumerate(cross):
            for name, value in zip(cross_names(index), (one.keys, one.values), strict=True):
                self.register_buffer(name, torch.zeros_like(value), persistent=False)
        self.positions = int(cross[0].keys.shape[2])
        self.layers = len(cross)

    @staticmethod
    def _own(index: int) -> tuple[str, str]:
        return f"key_cache_{index}", f"value_cache_{index}"

    def forward(
        self, input_ids: torch.Tensor, cache_position: torch.Tensor, encoder_last: torch.Tensor | None = None
    ) -> torch.Tensor:
        from transformers import DynamicCache, EncoderDecoderCache
        from transformers.cache_utils import DynamicLayer

        layers: Any = self.cache.layers
        for index, layer in enumerate(layers):  # torch.export puts its own tensors into buffers
            layer.keys, layer.values = (getattr(self, name) for name in self._own(index))
            layer.cumulative_length = getattr(self, f"cumulative_length_{index}")
            layer.cumulative_length.copy_(cache_position[0])
        cross = DynamicCache()
        for index in range(self.layers):
            layer = DynamicLayer()
            layer.lazy_initialization(*(getattr(self, name) for name in cross_names(index)))
            layer.keys, layer.values = (getattr(self, name) for name in cross_names(index))
            cross.layers.append(layer)
        mask = None
        if self.masked:
            assert encoder_last is not None
            mask = (torch.arange(self.positions)[None] <= encoder_last).to(torch.int64)
        width = int(self.model.config.get_text_config(decoder=True).hidden_size)
        logits: torch.Tensor = self.model(
            **attended(torch.zeros(1, self.positions, width), mask),
            decoder_input_ids=input_ids,
            past_key_values=EncoderDecoderCache(self.cache, cross),
            use_cache=True,
        ).logits
        return logits


def export_encoder_step(
    model: PreTrainedModel, heads: Heads, call: Sequence[torch.Tensor], length: int
) -> ExportedProgram:
    """One step of the decoder, with `length` positions of its own: what Step says, with what its cross attention reads as
    buffers (cross_names) that somebody else writes. `call`: of the encoder.

    Raises ModelError for a class that cannot be exported so.
    """
    masked = MASK in heads.input_names
    given = {
        "input_ids": torch.ones(1, 1, dtype=torch.int64),
        "cache_position": torch.zeros(1, dtype=torch.int64),
    }
    try:
        with torch.no_grad():
            kept = _kept_of(model, heads.encoder(*call)[0], torch.zeros(1, 1, dtype=torch.int64))
            _check_kept(model, kept)
            step = Step(model, kept, length, masked=masked)
            if masked:
                given[LAST] = torch.tensor([step.positions - 1])
            exported = torch.export.export(step, (), given, strict=False)
            program: ExportedProgram = exported.run_decompositions({})
    except ModelError:
        raise
    except Exception as error:  # torch.export and the model's own code raise all kinds
        name = type(model).__name__
        if branches_on_values(error):
            raise ModelError(
                f"An encoder-decoder whose step does the same at every position was expected; the code of {name} decides by "
                "the values of tensors, which torch.export cannot follow.",
                hint=HALVES_OR_PTE,
            ) from error
        raise ModelError(
            f"An encoder-decoder whose decoder exports with static caches was expected; {name} does not: "
            f"{type(error).__name__}: {one_line(str(error))[:300]}",
            hint=HALVES_OR_PTE,
        ) from error
    _keep_from_folding(program)
    return program


@torch.no_grad()
def check_answers(heads: Heads, call: Sequence[torch.Tensor]) -> None:
    """Raises ModelError for a model whose decoder does not take one token behind what its encoder gave for a call, or keeps
    something else of both than keys and values. One pass, before anything is exported."""
    try:
        hidden = heads.encoder(*call)[0]
        kept = _kept_of(heads.model, hidden, torch.zeros(1, 1, dtype=torch.int64))
    except Exception as error:  # the model's own code raises all kinds
        raise ModelError(
            f"An encoder-decoder that answers token by token was expected; {type(heads.model).__name__} does not: "
            f"{type(error).__name__}: {one_line(str(error))[:300]}",
            hint=HALVES_OR_PTE,
        ) from error
    _check_kept(heads.model, kept)


def _check_kept(model: PreTrainedModel, kept: Any) -> None:
    """Raises ModelError for a decoder that keeps something else than keys and values of both attentions in each layer."""
    sides = kept.self_attention_cache.layers, kept.cross_attention_cache.layers
    good = all(getattr(getattr(layer, "keys", None), "ndim", 0) == 4 for side in sides for layer in side)
    if not good or not sides[0] or len(sides[0]) != len(sides[1]):
        raise ModelError(
            f"A decoder that keeps keys and values of itself and of its encoder in each layer was expected; "
            f"{type(model).__name__} keeps {len(sides[0])} and {len(sides[1])} of them.",
            hint=HALVES_OR_PTE,
        )


def _keep_from_folding(program: ExportedProgram) -> None:
    """Declare that each step writes back what it reads of the encoder's: it is no constant."""
    for node in list(program.graph.nodes):
        if node.op == "placeholder":
            target = program.graph_signature.inputs_to_buffers.get(node.name, "")
            if target.startswith((KEYS, VALUES)):
                mutate_buffer(program, node, node)
    program.graph_module.recompile()


def example_state(rows: Sequence[torch.Tensor], *, columns: bool) -> dict[str, torch.Tensor]:
    """What Heads gives, as the buffers of a step in float32: keys and values float32[1, H, Le, D], or with `columns` values
    as [1, H, D, Le]."""
    state = {}
    for index in range(len(rows) // 2):
        for name, kept, is_value in zip(
            cross_names(index), rows[2 * index : 2 * index + 2], (False, True), strict=True
        ):
            value = kept[:, :, 0].transpose(0, 1)[None]
            state[name] = value.transpose(2, 3).contiguous() if columns and is_value else value.contiguous()
    return state


def last_of(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The third input of the step, where the encoder's inputs have a mask."""
    return {LAST: inputs[MASK].sum(1) - 1} if MASK in inputs else {}
