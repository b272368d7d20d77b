"""The ways that a decoder's step with a static cache can be asked for.

transformers' wrapper gives a model its tokens and the cache, and many classes count from there how far a text has come. A
class that makes shapes or branches of that count does not export so, but may where the positions, and what of the cache
may be seen, are given to it. What a way gives is only right for a class that reads it as it is meant: whoever takes
another way than the first compares the step with the model (guard.py).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

from mcu_sdk.lowering.calibrate import cached_layers, run_with_cache

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Way:
    """What a step is given beside tokens and cache.

    `positions`: position_ids, where the class takes them. `padding`: an attention_mask int64[1, S] of ones, over the whole
    cache. `mask`: one float32[1, 1, 1, S], 0 up to the position and hugely negative behind it; where `positions` are given,
    too, the cache then says that it is empty, so that nothing can be counted from it.
    """

    positions: bool = False
    padding: bool = False
    mask: bool = False


WAYS = (
    Way(),
    Way(positions=True),
    Way(positions=True, padding=True),
    Way(positions=True, mask=True),
    Way(mask=True),
)
"""From what every class of transformers is made for to what fewer are."""


def export_step(model: PreTrainedModel, way: Way) -> ExportedProgram:
    """torch.export's program `(input_ids int64[1,1], cache_position int64[1]) -> logits`; raises whatever that raises.

    The model's generation_config says how long the cache is.
    """
    from transformers.integrations.executorch import convert_and_export_with_cache

    if way == Way():
        program: ExportedProgram = convert_and_export_with_cache(model)
        return program
    given = {
        "input_ids": torch.ones(1, 1, dtype=torch.long),
        "cache_position": torch.zeros(1, dtype=torch.long),
    }
    with torch.no_grad():
        return torch.export.export(_step_of(model, way), (), given, strict=False)


def takes_positions(model: PreTrainedModel) -> bool:
    """Whether positions can be given to the class."""
    return "position_ids" in inspect.signature(model.forward).parameters


def _keep_what_is_kept(step: Any, model: PreTrainedModel) -> None:
    """Make each layer's cache as wide as what the layer keeps of a token: the wrapper asks the configuration, which has one
    number of heads and one width for keys and values of all layers."""
    kept = cached_layers(run_with_cache(model, input_ids=torch.zeros(1, 1, dtype=torch.long)))
    for index, (layer, found) in enumerate(zip(step.static_cache.layers, kept, strict=False)):
        if layer.max_cache_len:  # none for layers that read what another one keeps
            layer.lazy_initialization(found.keys, found.values)
            step.register_buffer(f"key_cache_{index}", layer.keys, persistent=False)
            step.register_buffer(f"value_cache_{index}", layer.values, persistent=False)


class _RangesOfOne(TorchFunctionMode):
    """arange(n, m) of tensors is taken for [n]: a step's range of positions, whose length torch.export cannot know."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.arange and len(args) == 2 and all(isinstance(each, torch.Tensor) for each in args):
            return args[0].reshape(1)
        return func(*args, **(kwargs or {}))


def _step_of(model: PreTrainedModel, way: Way) -> torch.nn.Module:
    """transformers' wrapper with more that it gives to the model."""
    from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

    class Step(TorchExportableModuleWithStaticCache):
        def forward(  # type: ignore[override]  # a step is always given both, and no embeddings
            self, input_ids: torch.Tensor, cache_position: torch.Tensor
        ) -> torch.Tensor:
            layers: Any = self.static_cache.layers
            for index, layer in enumerate(layers):  # torch.export puts its own tensors into buffers
                layer.keys, layer.values = (
                    getattr(self, f"{kind}_cache_{index}") for kind in ("key", "value")
                )
                layer.cumulative_length = getattr(self, f"cumulative_length_{index}")
                layer.cumulative_length.copy_(cache_position[0])
            length = layers[0].keys.shape[2]
            more: dict[str, Any] = {}
            if way.positions and takes_positions(model):
                more["position_ids"] = cache_position[None]
            if way.padding:
                more["attention_mask"] = torch.ones(1, length, dtype=torch.long)
            if way.mask:
                hidden = torch.arange(length)[None, None, None] > cache_position
                lowest = torch.finfo(torch.float32).min
                more["attention_mask"] = torch.zeros(1, 1, 1, length).masked_fill(hidden, lowest)
            with _RangesOfOne():
                logits: torch.Tensor = self.model(
                    input_ids=input_ids, past_key_values=self.static_cache, use_cache=True, **more
                ).logits
            return logits

    step = Step(model)
    _keep_what_is_kept(step, model)
    if way.mask and way.positions:
        cache: Any = step.static_cache
        cache.get_seq_length = lambda *_: 0
    return step
