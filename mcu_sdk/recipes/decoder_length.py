"""What a decoder's configuration decides of its cache, before any weight is read."""

from __future__ import annotations

from mcu_sdk.lowering.cached_kinds import require_keys_and_values
from mcu_sdk.lowering.export import choose_cache_length
from mcu_sdk.model.load import Checkpoint, decoder_config
from mcu_sdk.options import CompileOptions


def decoder_length(checkpoint: Checkpoint, options: CompileOptions) -> int:
    """Positions of the cache. Raises ModelError for a model that is no decoder, or whose layers keep something else than keys
    and values, and UsageError for a length that it does not have, or in which chunks or sinks have no room."""
    config, name = decoder_config(checkpoint)
    require_keys_and_values(config, name)
    length = choose_cache_length(config, name, options.cache_length)
    options.check_length(length)
    return length
