"""A checkpoint of an encoder with a decoder -> a .pte for a processor: the encoder once, then the decoder token by token."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.recipes.encoder import RANDOM_NOTE, SOUNDS_NOTE
from mcu_sdk.recipes.module import quantized_module
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram
    from torch.fx import GraphModule
    from transformers import PreTrainedModel

    from mcu_sdk.lowering.encoder_decoder import Heads
    from mcu_sdk.lowering.pair_guard import PairGuard
    from mcu_sdk.model.encoder import Encoder

LONGEST_DEFAULT = 128
"""Positions of the decoder where nothing is asked for, at most."""

MEASURED = 8
"""Calls whose answers tell what the decoder's linears read, where their weights are rounded by that."""

COMPARED = 2
"""Calls of the encoder on which the decoder is compared: the first of full length, the second shorter where it may be."""


def compile_encoder_decoder(
    checkpoint: Checkpoint, architecture: str, options: CompileOptions
) -> CompiledModel:
    """The encoder, int8 at calibrated scales, with the keys and values of every cross attention as a method `encoder`; a
    step of the decoder, int8 at scales found at run time, as `forward`; both in one .pte with the weights that they share.

    Raises ModelError, TextError, and UsageError for lengths that the model does not have.
    """
    from mcu_sdk.recipes.fronts import front_maker

    with stage(f"Loading PyTorch and the checkpoint, a {architecture}"):
        from mcu_sdk.lowering.encoder_decoder import Heads, check_answers
        from mcu_sdk.lowering.fuse.left import left_in_float
        from mcu_sdk.model.encoder_calls import example_calls
        from mcu_sdk.model.encoder_decoder import Spoken, load_pair, start_ids

        model, encoder = load_pair(checkpoint, architecture, front_maker(None, None))
        _require_known(encoder, checkpoint, architecture)
        _check_options(encoder, checkpoint, options)
        start = start_ids(checkpoint, model, Spoken(options.language, options.task))
        length = choose_length(model, options.cache_length, len(start))
        calls = example_calls(encoder, options.encoder_length, options.calibration_text, checkpoint)
        heads = Heads(model, encoder)
        check_answers(heads, calls[0])
    front = _compare_front(encoder, checkpoint, calls)
    quantized, encoder_facts = quantized_module(heads, calls, reference=_as_written(heads))
    guard, step, counts = _fused_step(model, heads, calls, start, length)
    left = left_in_float(step)
    quantized_step, share = _quantized_step(step, heads, calls[:MEASURED], start, length, options)
    with stage("Comparing the quantized encoder and step with the checkpoint"):
        from mcu_sdk.lowering.cross_caches import write_caches

        write_caches(quantized)
        accuracy = guard.accuracy(quantized, quantized_step)
    with stage("Lowering to ExecuTorch and planning memory"):
        facts = {
            "activations": "dynamic",
            "cache_scales": "dynamic",
            "cache_length": length,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "fused": counts,
            "left_in_float": left,
            "guard": guard.facts,
            "accuracy": accuracy,
            "encoder": {name: encoder_facts[name] for name in ("accuracy", "fused", "guard")},
            "start_ids": list(start),
            **front,
            **_inputs(encoder, checkpoint),
            **_shares(quantized, quantized_step),
            **share,
        }
        if options.calibration_text is None:
            facts["notes"] = [_note(encoder)]
        return _lowered(model, quantized, quantized_step, length, start, options, facts)


def _require_known(encoder: Encoder, checkpoint: Checkpoint, architecture: str) -> None:
    """Raises ModelError for an encoder of neither texts nor sounds."""
    from mcu_sdk.model.encoder import SOUND_INPUTS
    from mcu_sdk.model.encoder_decoder import HALVES

    reads = encoder.input_names == ("input_ids", "attention_mask")
    if not reads and encoder.input_name not in SOUND_INPUTS:
        raise ModelError(
            f"An encoder of texts or sounds was expected beside a decoder that attends to it; that of {checkpoint.name}, a "
            f"{architecture}, reads {', '.join(encoder.input_names)}.",
            hint=HALVES,
        )


def _check_options(encoder: Encoder, checkpoint: Checkpoint, options: CompileOptions) -> None:
    """Raises UsageError for what makes no difference to an encoder of sounds."""
    assert options.weights != "auto", "whose kinds are those of decoders alone (options/compiling.py)"
    if encoder.input_name == "input_ids":
        return
    if options.calibration_text is not None:
        raise UsageError(
            f"--calibration-text is for models that read texts; {checkpoint.name} hears sounds.",
            hint="Leave it out: made-up sounds are calibrated on.",
        )
    if options.encoder_length is not None and encoder.input_name == "input_features":
        raise UsageError(
            f"--max-encoder-len is the length of a text or of a waveform; {checkpoint.name} hears as many frames as its "
            "configuration says.",
            hint="Leave it out.",
        )


def choose_length(model: PreTrainedModel, wanted: int | None, started: int) -> int:
    """Positions of the decoder's own cache. Raises UsageError for fewer than it begins with, or more than it has."""
    config = model.config.get_text_config(decoder=True)
    names = ("max_target_positions", "max_position_embeddings")
    limits = [value for name in names if isinstance(value := getattr(config, name, None), int) and value > 0]
    longest = min(limits, default=None)
    if wanted is None:
        return min(longest or LONGEST_DEFAULT, LONGEST_DEFAULT)
    if wanted <= started or (longest is not None and wanted > longest):
        most = f"{started + 1} to {longest}" if longest is not None else f"at least {started + 1}"
        raise UsageError(
            f"The decoder has {most} positions; --max-cache-len {wanted} was given.",
            hint="Leave it out, or give one of these.",
        )
    return wanted


def _fused_step(
    model: PreTrainedModel, heads: Heads, calls: list[Any], start: tuple[int, ...], length: int
) -> tuple[PairGuard, ExportedProgram, dict[str, int]]:
    """The decoder's step, compared with the checkpoint as it was exported and as it was fused."""
    from mcu_sdk.lowering.reproducible import reproducible

    with stage("Exporting one step of the decoder, and comparing it with the checkpoint"), reproducible():
        from mcu_sdk.lowering.encoder_decoder import export_encoder_step
        from mcu_sdk.lowering.pair_guard import POSITIONS, PairGuard, sampled_tokens

        compared = calls[:COMPARED]
        step = export_encoder_step(model, heads, compared[0], length)
        tokens = sampled_tokens(model, heads, compared, start, min(length, POSITIONS))
        guard = PairGuard(model, heads, compared, tokens)
        guard.check(step, "exported")
    with stage("Fusing the step, and comparing it with the checkpoint"), reproducible():
        from mcu_sdk.lowering.cross_caches import require_caches
        from mcu_sdk.lowering.fuse import fuse

        counts = fuse(step, length, None)
        require_caches(step, model)
        guard.check(step, "fused")
    return guard, step, asdict(counts)


def _quantized_step(
    step: ExportedProgram,
    heads: Heads,
    calls: list[Any],
    start: tuple[int, ...],
    length: int,
    options: CompileOptions,
) -> tuple[ExportedProgram, dict[str, Any]]:
    """The decoder's step at int8, its linears at int4 if asked for; and what there is to report of its weights."""
    from mcu_sdk.lowering.int4 import float_linears, to_int4
    from mcu_sdk.lowering.moments import head_digest
    from mcu_sdk.lowering.pair_guard import POSITIONS, decoder_moments
    from mcu_sdk.lowering.reproducible import reproducible

    with stage("Quantizing the step to int8"), reproducible():
        import torch

        from mcu_sdk.lowering.quantize import check_finite, quantize

        example = dict((step.example_inputs or ((), {}))[1])

        def calibrate(
            prepared: GraphModule,
        ) -> None:  # scales are found at run time: the weights are looked at
            prepared(**{name: torch.zeros_like(value) for name, value in example.items()})

        linears = float_linears(step)
        quantized = quantize(step, "dynamic", calibrate)
        check_finite(quantized)
    if options.weights == "int8":
        return quantized, {"weights": "int8"}
    with (
        stage("Measuring what each linear of the decoder reads, and rounding its weights to int4"),
        reproducible(),
    ):
        moments = decoder_moments(heads, calls, start, min(length, POSITIONS))
        keep = {digest for digest in [head_digest(heads.model)] if digest is not None}
        share = to_int4(quantized, linears, moments, keep)
    return quantized, {"weights": "int4", **asdict(share)}


def _lowered(
    model: PreTrainedModel,
    encoder: ExportedProgram,
    step: ExportedProgram,
    length: int,
    start: tuple[int, ...],
    options: CompileOptions,
    facts: dict[str, Any],
) -> CompiledModel:
    from mcu_sdk.lowering.cross_caches import release_caches
    from mcu_sdk.lowering.lower import lower
    from mcu_sdk.lowering.metadata import encoder_metadata, llm_metadata
    from mcu_sdk.lowering.pack import pack_weights
    from mcu_sdk.lowering.quick_passes import quick_passes

    with quick_passes():
        release_caches(step)
        facts["packed_weights"] = pack_weights(step, options.weight_layout)
        facts["packed_weights"] += pack_weights(encoder, options.weight_layout)
        padding = facts["texts"]["padding"] if "texts" in facts else None
        metadata = llm_metadata(model, length) | encoder_metadata(start, padding)
        lowered = lower(step, metadata, encoder=encoder, record=options.etrecord)
    return CompiledModel(lowered.pte, lowered.names, facts, etrecord=lowered.etrecord)


def _note(encoder: Encoder) -> str:
    """What the scales of a quantized encoder were taken from, where nobody gave anything."""
    if encoder.front is not None:
        return SOUNDS_NOTE
    return RANDOM_NOTE.format(what="token ids" if encoder.input_name == "input_ids" else "noise")


def _shares(*programs: ExportedProgram) -> dict[str, int]:
    from mcu_sdk.lowering.quantize import int8_share

    found = [int8_share(program) for program in programs]
    return {name: sum(share[name] for share in found) for name in found[0]}


def _inputs(encoder: Encoder, checkpoint: Checkpoint) -> dict[str, Any]:
    """What the encoder is called with, and how texts or sounds become that."""
    from mcu_sdk.model.encoder import Microphone, sound_facts_of
    from mcu_sdk.model.encoder_calls import texts_of

    found: dict[str, Any] = {"input_names": list(encoder.input_names)}
    if encoder.input_name == "input_ids":
        return {**found, "texts": texts_of(encoder)}
    if isinstance(encoder.front, Microphone):
        rows = {} if encoder.rows is None else {"rows": asdict(encoder.rows)}
        return {**found, "sounds": {**encoder.front.facts, "front": "device", **rows}}
    facts = sound_facts_of(encoder.model, checkpoint)
    return found if facts is None else {**found, "sounds": {**facts, "front": "host"}}


def _compare_front(encoder: Encoder, checkpoint: Checkpoint, calls: list[Any]) -> dict[str, Any]:
    """The front end against transformers' own class. Raises ModelError where they differ."""
    from mcu_sdk.recipes.fronts import compare_front

    if encoder.front is None:
        return {}
    with stage("Comparing the front end with transformers' own"):
        return {"front_error": compare_front(encoder.front, checkpoint, calls)}


def _as_written(heads: Heads) -> nn.Module:
    """The encoder with attention in plain PyTorch, as its authors wrote it: what the exported one is compared with."""
    import torch

    from mcu_sdk.lowering.guard import eager_attention

    class Eager(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = heads

        def forward(self, *inputs: torch.Tensor) -> Any:
            with eager_attention(heads.model):
                return heads(*inputs)

    return Eager()
