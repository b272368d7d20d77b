"""Fusion: patterns on the exported ATen graph become `mcu::` operators, one pass for each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mcu_sdk.lowering.fuse.cached_attention import CacheRange


@dataclass(frozen=True)
class FusionCounts:
    """How many places of each kind were fused."""

    rope: int = 0
    attention: int = 0
    rms_norm: int = 0
    layer_norm: int = 0
    activation: int = 0
    expert_linear: int = 0
    cross_attention: int = 0


def fuse(
    program: ExportedProgram,
    cache_length: int | None,
    cache_ranges: dict[str, CacheRange] | None,
    *,
    npu: bool = False,
    sinks: int | None = None,
) -> FusionCounts:
    """Rewrite an exported program in place.

    `cache_length` is the static cache's length in positions, None for a model without a cache. `cache_ranges`
    maps each key cache's buffer name to the calibrated magnitudes of that layer's keys and values; None asks for
    run-time scales. `npu`: for a step on an NPU, which knows rotations of halves and plain attention. What no pattern knows
    stays as it is. `sinks`: let the caches slide, the first so many positions staying; raises ModelError for a step that
    cannot.
    """
    import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
    from mcu_sdk.lowering.fuse.activations import fuse_activations
    from mcu_sdk.lowering.fuse.attention import (
        drop_padding,
        fuse_attention,
        read_uncopied,
        scale_by_number,
    )
    from mcu_sdk.lowering.fuse.cached_attention import fuse_cached_attention
    from mcu_sdk.lowering.fuse.context import fuse_contexts
    from mcu_sdk.lowering.fuse.cross_attention import fuse_cross_attention
    from mcu_sdk.lowering.fuse.experts import fuse_experts
    from mcu_sdk.lowering.fuse.graph import drop_cumulative_lengths, tidy
    from mcu_sdk.lowering.fuse.images import prepare_images
    from mcu_sdk.lowering.fuse.masks import simplify_masks
    from mcu_sdk.lowering.fuse.normalize import fold_constants, normalize
    from mcu_sdk.lowering.fuse.norms import fuse_centred, fuse_layer_norm, fuse_rms_norm
    from mcu_sdk.lowering.fuse.parts import add_to_parts
    from mcu_sdk.lowering.fuse.positions import (
        PositionTable,
        drop_assertions,
        position_input,
        resolve_positions,
    )
    from mcu_sdk.lowering.fuse.projections import split_projections
    from mcu_sdk.lowering.fuse.recurrent import fuse_recurrent
    from mcu_sdk.lowering.fuse.relative import fuse_relative_attention
    from mcu_sdk.lowering.fuse.rope import fuse_rope
    from mcu_sdk.lowering.fuse.sequence_rotations import fuse_sequence_rotations
    from mcu_sdk.lowering.fuse.sliding import slide_caches
    from mcu_sdk.lowering.fuse.turns import turn_later

    drop_cumulative_lengths(program)
    position = position_input(program)
    if position is None:
        fuse_recurrent(program)
        prepare_images(program)
    elif cache_length is not None:
        drop_assertions(program, position, cache_length)
    normalize(program)
    rope = attention = cross = 0
    if position is None:
        fuse_attention(program)
        fuse_relative_attention(program)
        fuse_contexts(program)
        drop_padding(program)
        scale_by_number(program)
        read_uncopied(program)
        rope = fuse_sequence_rotations(program)
        tidy(program)
        split_projections(program)
        turn_later(program)
        simplify_masks(program)
        add_to_parts(program)
        tidy(program)
    if position is not None and cache_length is not None:
        drop_padding(program)
        positions = PositionTable(program, position, cache_length)
        rope = fuse_rope(program, positions, pairs=not npu)
        attention = fuse_cached_attention(
            program, positions, cache_ranges, shaped=not npu, slides=sinks is not None
        )
        cross = fuse_cross_attention(program)
        tidy(program)
    experts = fuse_experts(program)
    rms_norms = fuse_rms_norm(program)
    centred = fuse_centred(program)
    counts = FusionCounts(
        rope=rope,
        attention=attention,
        rms_norm=rms_norms - centred,
        layer_norm=fuse_layer_norm(program) + centred,
        activation=fuse_activations(program),
        expert_linear=experts,
        cross_attention=cross,
    )
    tidy(program)
    if position is not None and cache_length is not None:
        resolve_positions(program, position, cache_length)
    fold_constants(program)
    if position is not None and cache_length is not None and sinks is not None:
        slide_caches(program, position, cache_length, sinks)
    return counts
