"""A decoder checkpoint -> one step of it as an ExportedProgram, by transformers' own static-cache wrapper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.lowering.advice import ELSEWHERE

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from transformers import PreTrainedConfig, PreTrainedModel

    from mcu_sdk.lowering.ways import Way


def position_limit(config: PreTrainedConfig) -> int | None:
    """How many positions a model was made for, or None when its configuration does not say."""
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        value = getattr(config.get_text_config(), name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def choose_cache_length(config: PreTrainedConfig, name: str, wanted: int | None) -> int:
    """The static cache's length in positions: `wanted`, checked against a model of the class `name` with this configuration,
    or the model's limit (at most 2,048).

    Raises UsageError for a length beyond the model's positions, or beyond those up to which its rotary embedding stays as it
    is.
    """
    limit = position_limit(config)
    changing = _changing_frequencies(config)
    fixed = min(changing.values(), default=None)
    if wanted is None:
        return min(limit or 2048, fixed or 2048, 2048)
    if limit is not None and wanted > limit:
        raise UsageError(
            f"--max-cache-len {wanted} is beyond the model's {limit} positions.",
            hint=f"Give at most {limit}.",
        )
    if fixed is not None and wanted > fixed:
        raise UsageError(
            f"The rotary embedding of {name} ({', '.join(sorted(changing))}) changes for texts of more than "
            f"{fixed} positions, what is cached already included, which a step cannot do; --max-cache-len {wanted} was "
            "given.",
            hint=f"Give --max-cache-len {fixed} at most.",
        )
    return wanted


def export_decoder(model: PreTrainedModel, cache_length: int, way: Way | None = None) -> ExportedProgram:
    """One step with a static cache: `(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`.

    The signature is the one of ExecuTorch's LLM runner; `way`: what the model is given, the first of WAYS unless told. Raises ModelError when the
    architecture cannot be exported with a static cache.
    """
    import torch
    from transformers import GenerationConfig

    from mcu_sdk.lowering.causal_rows import follow_position
    from mcu_sdk.lowering.fuse.experts import experts_as
    from mcu_sdk.lowering.ways import WAYS, export_step

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.generation_config = GenerationConfig(
        use_cache=True,
        cache_implementation="static",
        max_length=cache_length,
        cache_config={"batch_size": 1, "max_cache_len": cache_length},
    )
    _state_cached_heads(model)
    try:
        with torch.no_grad(), _fixed_frequencies(model, cache_length), experts_as(model, "batched_mm"):
            decomposed: ExportedProgram = export_step(model, way or WAYS[0]).run_decompositions({})
            follow_position(decomposed, cache_length)
        _require_shapes(decomposed)
    except Exception as error:  # torch.export and the wrapper raise all kinds
        if branches_on_values(error):
            raise ValuesError(
                f"A decoder whose step does the same at every position was expected; the code of {type(model).__name__} "
                "decides by the values of tensors, which torch.export cannot follow.",
                hint=ELSEWHERE,
            ) from error
        first_line = str(error).strip().splitlines()[0][:300] if str(error).strip() else ""
        raise ModelError(
            f"A decoder that exports with a static cache was expected; {type(model).__name__} does not: "
            f"{type(error).__name__}: {first_line}",
            hint=ELSEWHERE,
        ) from error
    return decomposed


class _UnknownShapes(Exception):
    """A shape that is counted from the position."""


def _require_shapes(program: ExportedProgram) -> None:
    """Raises _UnknownShapes where a tensor of the step has no shape before it runs."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if any(not isinstance(size, int) for size in getattr(value, "shape", ())):
            raise _UnknownShapes(node.name)


def branches_on_values(error: Exception) -> bool:
    """Whether it is one of the ways to say that a program is not the same for all values."""
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    kinds = (_UnknownShapes, GuardOnDataDependentSymNode)
    return isinstance(error, kinds) or "data-dependent" in str(error).lower()


def changes_weights(error: Exception) -> bool:
    """Whether torch.export says that a module's code puts other parameters into its parts, as one that casts them does."""
    return "_apply(): Couldn't swap" in str(error)


def _state_cached_heads(model: PreTrainedModel) -> None:
    """Say by the name that the wrapper asks for how many heads of keys a model with multi-query attention caches."""
    config = model.config.get_text_config()
    if not getattr(config, "multi_query", False) or hasattr(config, "num_key_value_heads"):
        return
    shared = not getattr(config, "new_decoder_architecture", False)  # Falcon's two ways
    config.num_key_value_heads = 1 if shared else config.num_attention_heads


@contextmanager
def _fixed_frequencies(model: PreTrainedModel, cache_length: int) -> Iterator[None]:
    """Let rotary embeddings that change with the length of the text (longrope, dynamic) be those of short texts.

    Within the length that they were made for they do not change, and a cache that is no longer never leaves it. Whether
    that is so is measured: the exported step is compared with the model as it is (guard.py).
    """
    changed: list[tuple[Any, str]] = []
    changing = _changing_frequencies(model.config)
    for module in model.modules():
        kind = getattr(module, "rope_type", None)
        if isinstance(kind, str) and cache_length <= changing.get(kind, 0):
            changed.append((module, kind))
    for module, _ in changed:
        module.rope_type = "default"
    try:
        yield
    finally:
        for module, kind in changed:
            module.rope_type = kind


class ArchitectureError(ModelError):
    """A kind of model that no way of exporting it makes a step of."""


class ValuesError(ModelError):
    """A step that is another one for other values: what is in the way of exporting it at all."""


def _changing_frequencies(config: PreTrainedConfig) -> dict[str, int]:
    """A model's kinds of rotary embedding that change with the length of the text, and up to how many positions each
    stays as it is: {"longrope": 4096}."""
    found: dict[str, int] = {}
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    for settings in (rope, *(value for value in rope.values() if isinstance(value, dict))):
        kind = settings.get("rope_type")
        original = settings.get("original_max_position_embeddings") or position_limit(config)
        if kind in ("longrope", "dynamic") and isinstance(original, int):
            found[kind] = min(original, found.get(kind, original))
    return found
