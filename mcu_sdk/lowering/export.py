"""A decoder checkpoint -> one step of it as an ExportedProgram, by transformers' own static-cache wrapper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcu_sdk.errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from transformers import PreTrainedModel


def position_limit(model: PreTrainedModel) -> int | None:
    """How many positions the model was made for, or None when its configuration does not say."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def choose_cache_length(model: PreTrainedModel, wanted: int | None) -> int:
    """The static cache's length in positions: `wanted`, checked against the model, or the model's limit (at most 2,048).

    Raises UsageError for a length of 0 or less, or beyond the model's positions.
    """
    limit = position_limit(model)
    if wanted is None:
        return min(limit or 2048, 2048)
    if wanted < 1:
        raise UsageError(
            f"--max-cache-len takes a number of positions from 1 up; {wanted} was given.",
            hint=f"Leave it out for the model's own {limit}." if limit else "",
        )
    if limit is not None and wanted > limit:
        raise UsageError(
            f"--max-cache-len {wanted} is beyond the model's {limit} positions.",
            hint=f"Give at most {limit}.",
        )
    return wanted


def export_decoder(model: PreTrainedModel, cache_length: int) -> ExportedProgram:
    """One step with a static cache: `(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`.

    The signature is the one of ExecuTorch's LLM runner. Raises ModelError when the architecture cannot be
    exported with a static cache.
    """
    import torch
    from transformers import GenerationConfig
    from transformers.integrations.executorch import convert_and_export_with_cache

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.generation_config = GenerationConfig(
        use_cache=True,
        cache_implementation="static",
        max_length=cache_length,
        cache_config={"batch_size": 1, "max_cache_len": cache_length},
    )
    try:
        with torch.no_grad():
            program: ExportedProgram = convert_and_export_with_cache(model)
            decomposed: ExportedProgram = program.run_decompositions({})
            return decomposed
    except Exception as error:  # torch.export and the wrapper raise all kinds
        first_line = str(error).strip().splitlines()[0][:300] if str(error).strip() else ""
        raise ModelError(
            f"A decoder that exports with a static cache was expected; {type(model).__name__} does not: "
            f"{type(error).__name__}: {first_line}",
            hint="Use a decoder-only language model with a standard key/value cache (docs/models.md lists families "
            "that were tried), or lower the model yourself and pass the result with --pte.",
        ) from error
