"""The way of the data, top to bottom: checkpoint -> export -> fuse -> quantize -> lower -> plan memory -> .pte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mcu_sdk import cache
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.console import quiet_libraries
from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.npu.artifact import DelegateArtifact
from mcu_sdk.operators.layouts import WeightLayout
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import GraphModule
    from transformers import PreTrainedModel

    from mcu_sdk.lowering.ethos_u.compile import QuantizedStep

Activations = Literal["dynamic", "static"]
CacheScales = Literal["calibrated", "dynamic"]
Weights = Literal["int8", "int4"]


@dataclass(frozen=True)
class CompileOptions:
    """What the user can decide about a checkpoint's way to a .pte.

    `cache_length` is in positions (None: the model's own limit). `activations`: int8 scales found per token at run
    time, or calibrated. `cache_scales`: the same choice for the KV cache. `calibration_text`: a UTF-8 file; without
    one the model generates what it is calibrated on. `npu`: the Ethos-U to lower to; None for the processor.
    `weight_layout`: what the board's core reads fastest. `weights`: "int4" for the linears of the blocks, in groups of
    32 inputs; the embedding and the last linear are int8 always.
    """

    cache_length: int | None = None
    activations: Activations = "dynamic"
    cache_scales: CacheScales = "calibrated"
    calibration_text: Path | None = None
    npu: NpuTarget | None = None
    weight_layout: WeightLayout = "rows"
    weights: Weights = "int8"

    def check(self) -> None:
        """Raises UsageError for options that do not go together."""
        if self.weights not in ("int8", "int4"):
            raise UsageError(f"Weights are 'int8' or 'int4', not {self.weights!r}.")
        if self.weights == "int4" and self.npu is not None:
            raise UsageError(
                f"int4 weights are for a board's processor; {self.npu.accelerator} takes int8.",
                hint="Leave --weights out, or take another --target.",
            )


@dataclass(frozen=True)
class CompiledModel:
    """A .pte, the module path of each of its instructions, and what the report wants to know."""

    pte: bytes
    names: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    delegates: tuple[DelegateArtifact, ...] = ()


def compile_checkpoint(
    checkpoint: Checkpoint, options: CompileOptions, *, use_cache: bool = True
) -> CompiledModel:
    """The whole way to a .pte, or what an earlier run left in the cache for the same content and options.

    Raises UsageError for options that do not go together, and ModelError.
    """
    options.check()
    facts: dict[str, object] = {"checkpoint": checkpoint.fingerprint()}
    for name, value in asdict(options).items():
        facts[name] = value.read_bytes() if isinstance(value, Path) and value.is_file() else value
    key = cache.key_of(facts)
    if use_cache:
        kept = _kept(key)
        if kept is not None:
            return kept
    with quiet_libraries():
        compiled = _compile(checkpoint, options)
    if use_cache:
        delegates = [artifact.name for artifact in compiled.delegates]
        info = {"names": compiled.names, "facts": compiled.facts, "delegates": delegates}
        files = {"model.pte": compiled.pte, "info.json": json.dumps(info).encode()}
        for artifact in compiled.delegates:
            files |= artifact.files()
        cache.store(key, files)
    return compiled


def _kept(key: str) -> CompiledModel | None:
    kept = cache.load(key, ("model.pte", "info.json"))
    if kept is None:
        return None
    info = json.loads(kept["info.json"])
    delegates = []
    for name in info["delegates"]:
        files = cache.load(key, DelegateArtifact.file_names(name))
        if files is None:
            return None
        delegates.append(DelegateArtifact.from_files(name, files))
    return CompiledModel(kept["model.pte"], tuple(info["names"]), info["facts"], tuple(delegates))


def _compile(checkpoint: Checkpoint, options: CompileOptions) -> CompiledModel:
    from mcu_sdk.model.encoder import encoder_architecture

    architecture = encoder_architecture(checkpoint)
    if architecture is not None:
        if options.npu is None:
            raise ModelError(
                f"A causal language model was expected; {checkpoint.name} is a {architecture}, which only an NPU takes.",
                hint="Choose an Ethos-U with --target, or compile it with mcu_sdk.compile_module and take --pte.",
            )
        return _compile_encoder(checkpoint, architecture, options)
    if options.npu is not None:
        return _compile_for_npu(checkpoint, options, options.npu)
    quantized, metadata, facts = quantized_step(checkpoint, options)
    from mcu_sdk.lowering.provenance import without_provenance

    with stage("Lowering to ExecuTorch and planning memory"), without_provenance():
        from mcu_sdk.lowering.lower import lower
        from mcu_sdk.lowering.pack import pack_weights

        facts["packed_weights"] = pack_weights(quantized, options.weight_layout)
        lowered = lower(quantized, metadata)
    return CompiledModel(lowered.pte, lowered.names, facts)


def _compile_encoder(checkpoint: Checkpoint, architecture: str, options: CompileOptions) -> CompiledModel:
    from mcu_sdk.model.encoder import example_calls, load_encoder
    from mcu_sdk.recipes.module import compile_loaded

    with stage(f"Loading PyTorch and the checkpoint, a {architecture}"):
        encoder = load_encoder(checkpoint, architecture)
        calls = example_calls(encoder, options.cache_length, options.calibration_text, checkpoint)
    return compile_loaded(encoder, calls, options)


def _compile_for_npu(checkpoint: Checkpoint, options: CompileOptions, target: NpuTarget) -> CompiledModel:
    target.check()
    quantized, metadata, facts = npu_step(checkpoint, options, target)
    from mcu_sdk.lowering.provenance import without_provenance

    with stage(f"Lowering to one delegate for {target.accelerator}"), without_provenance():
        from mcu_sdk.lowering.ethos_u.compile import lower_decoder

        compiled = lower_decoder(quantized, target, metadata)
    return CompiledModel(compiled.pte, compiled.names, {**facts, **compiled.facts}, compiled.delegates)


def npu_step(
    checkpoint: Checkpoint, options: CompileOptions, target: NpuTarget, **settings: Any
) -> tuple[QuantizedStep, dict[str, Any], dict[str, Any]]:
    """Checkpoint to calibrated NPU step: (step in PyTorch, metadata for the .pte, facts for the report).

    `settings` go to `quantize_decoder`.
    """
    with stage("Loading PyTorch and the checkpoint"), reproducible():
        from mcu_sdk.lowering.export import choose_cache_length, export_decoder
        from mcu_sdk.model.load import load_model

        model = load_model(checkpoint)
        cache_length = choose_cache_length(model, options.cache_length)
    with stage("Calibrating"), reproducible():
        from mcu_sdk.lowering.calibrate import cache_ranges

        windows = _calibration_windows(checkpoint, model, options, cache_length)
        ranges = cache_ranges(model, windows)
    with stage("Exporting one step with a static cache"):
        program = export_decoder(model, cache_length)
    with stage("Comparing the exported step with the checkpoint"), reproducible():
        from mcu_sdk.lowering.guard import DecoderGuard

        guard = DecoderGuard(model, windows, cache_length)
        guard.check_exported(program)
    with stage("Fusing"):
        from mcu_sdk.lowering.fuse import fuse

        counts = fuse(program, cache_length, ranges)
    with stage("Comparing the fused step with the checkpoint"), reproducible():
        guard.check_fused(program, ranges)
    with stage("Quantizing for the NPU"), reproducible():
        from mcu_sdk.lowering.ethos_u.compile import quantize_decoder

        quantized = quantize_decoder(program, model, cache_length, windows, target, **settings)
    facts = {
        "cache_length": cache_length,
        "activations": "static",
        "cache_scales": "calibrated",
        "parameters": sum(p.numel() for p in model.parameters()),
        "fused": asdict(counts),
        "guard": guard.facts,
    }
    return quantized, llm_metadata(model, cache_length), facts


def quantized_step(
    checkpoint: Checkpoint, options: CompileOptions
) -> tuple[ExportedProgram, dict[str, Any], dict[str, Any]]:
    """Checkpoint to quantized graph: (program, metadata for the .pte, facts for the report).

    The program is one step, `(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`, in PyTorch:
    what the firmware is compared with.
    """
    with stage("Loading PyTorch and the checkpoint"), reproducible():
        from mcu_sdk.lowering.export import choose_cache_length, export_decoder
        from mcu_sdk.model.load import load_model

        model = load_model(checkpoint)
        cache_length = choose_cache_length(model, options.cache_length)
        metadata = llm_metadata(model, cache_length)
    with stage("Calibrating"), reproducible():
        windows = _calibration_windows(checkpoint, model, options, cache_length)
        ranges = _cache_ranges(model, windows, options)
        moments, head = _moments(model, windows, options)
    with stage("Exporting one step with a static cache"):
        program = export_decoder(model, cache_length)
    with stage("Comparing the exported step with the checkpoint"), reproducible():
        from mcu_sdk.lowering.guard import DecoderGuard

        guard = DecoderGuard(model, windows, cache_length)
        guard.check_exported(program)
    with stage("Fusing"):
        from mcu_sdk.lowering.fuse import fuse

        counts = fuse(program, cache_length, ranges)
    with stage("Comparing the fused step with the checkpoint"), reproducible():
        guard.check_fused(program, ranges)
    with stage("Quantizing to int8"), reproducible():
        from mcu_sdk.lowering.int4 import float_linears, to_int4
        from mcu_sdk.lowering.quantize import int8_share, quantize

        def calibrate(prepared: GraphModule) -> None:
            _run_steps(prepared, windows if options.activations == "static" else windows[:1, :1])

        linears = float_linears(program)
        quantized = quantize(program, options.activations, calibrate)
        check_finite(quantized)
    share: dict[str, Any] = {"weights": options.weights}
    if options.weights == "int4":
        with stage("Rounding weights to int4"), reproducible():
            share |= asdict(to_int4(quantized, linears, moments, head))
    facts = {
        "cache_length": cache_length,
        "activations": options.activations,
        "cache_scales": options.cache_scales,
        "parameters": sum(p.numel() for p in model.parameters()),
        "fused": asdict(counts),
        "guard": guard.facts,
        **int8_share(quantized),
        **share,
    }
    return quantized, metadata, facts


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread while sums decide scales: a reduction split over threads depends on their number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def llm_metadata(model: PreTrainedModel, cache_length: int) -> dict[str, Any]:
    """The constant methods that ExecuTorch's LLM runner asks a .pte for."""
    config = model.config.get_text_config()
    start = getattr(config, "bos_token_id", None)
    end = getattr(config, "eos_token_id", None)
    ends = [] if end is None else [int(e) for e in (end if isinstance(end, list) else [end])]
    vocabulary = int(config.vocab_size)
    metadata: dict[str, Any] = {
        "get_max_seq_len": cache_length,
        "get_max_context_len": cache_length,
        "get_vocab_size": vocabulary,
        "get_n_layers": int(config.num_hidden_layers),
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": False,
        "enable_dynamic_shape": False,
    }
    if isinstance(start, int) and 0 <= start < vocabulary:
        metadata["get_bos_id"] = start
    ends = [e for e in ends if 0 <= e < vocabulary]
    if ends:
        metadata["get_eos_ids"] = ends
    return metadata


def _calibration_windows(
    checkpoint: Checkpoint, model: PreTrainedModel, options: CompileOptions, cache_length: int
) -> torch.Tensor:
    from mcu_sdk.lowering.calibrate import LONGEST_WINDOW, read_windows, sample_windows

    length = min(cache_length, LONGEST_WINDOW)
    if options.calibration_text is None:
        return sample_windows(model, length)
    from mcu_sdk.model.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(checkpoint.folder)
    if tokenizer is None:
        raise ModelError(
            f"--calibration-text needs the checkpoint's tokenizer; {checkpoint.name} has none.",
            hint="Leave the option out: the model then generates what it is calibrated on.",
        )
    return read_windows(options.calibration_text, tokenizer, length)


def _cache_ranges(model: PreTrainedModel, windows: torch.Tensor, options: CompileOptions) -> Any:
    if options.cache_scales == "dynamic":
        return None
    from mcu_sdk.lowering.calibrate import cache_ranges

    return cache_ranges(model, windows)


def _moments(
    model: PreTrainedModel, windows: torch.Tensor, options: CompileOptions
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """What int4 weights are rounded by, and the digest of the weight that stays int8."""
    if options.weights == "int8":
        return {}, set()
    from mcu_sdk.lowering.moments import head_digest, linear_moments

    head = head_digest(model)
    return linear_moments(model, windows), set() if head is None else {head}


STATIC_STEPS = 384
"""Steps that static activation scales are observed on, spread over the windows."""


def _run_steps(prepared: GraphModule, windows: torch.Tensor) -> None:
    """Run the prepared step over the windows, token by token, each from an empty cache."""
    import torch

    length = min(windows.shape[1], max(1, STATIC_STEPS // windows.shape[0]))
    for window in windows:
        for position, token in enumerate(window[:length].tolist()):
            prepared(input_ids=torch.tensor([[token]]), cache_position=torch.tensor([position]))


def check_finite(program: ExportedProgram) -> None:
    import torch

    for name, value in program.state_dict.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(
                f"Finite scales were expected after quantization; {name} holds infinities or NaNs.",
                hint="The checkpoint's weights or activations may be out of float32's range.",
            )
