"""The options of a checkpoint's way to a .pte."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from mcu_sdk.board.npu_target import NpuTarget, StepForm
from mcu_sdk.errors import UsageError
from mcu_sdk.operators.layouts import WeightLayout
from mcu_sdk.option import Flag, options_of
from mcu_sdk.options.kinds import CHECKPOINT, ON_PROCESSOR, Kind
from mcu_sdk.options.values import check_choices

Activations = Literal["dynamic", "static"]
CacheScales = Literal["calibrated", "dynamic"]
Weights = Literal["int8", "int4", "auto"]
WhenFull = Literal["stop", "slide"]
Operators = Literal["mcu", "portable"]
Task = Literal["transcribe", "translate"]

SINKS = 4
"""Positions that a cache which slides keeps from the beginning: as many as StreamingLLM (arXiv 2309.17453) found to be
enough."""
LEAST_RING = 2
"""Positions beside the sinks: the token's own, and one before it."""
PREFILL_ROWS = (8, 16, 32)
LINEARS_READ_INT8 = "its products read the processor's int8 weights"


@dataclass(frozen=True)
class CompileOptions:
    """What the user can decide about a checkpoint's way to a .pte; each option's help stands beside it.

    `cache_length`: positions, and of an encoder the tokens that it reads; None for the model's own limit.
    `activations`: int8 scales found per token at run time, or calibrated, as an encoder's always are. `cache_scales`:
    the same choice for the KV cache. `calibration_text`: a UTF-8 file; without one the model generates what it is
    calibrated on. `prefill`: None for no second method, which reads several tokens of a prompt at once. `sinks`: None
    for SINKS, where the cache slides. `weights`: with "int4" the embedding and the last linear are int8 all the same.

    Not the user's: `npu`, the Ethos-U to lower to (None for the processor), `step`, where a decoder's step runs beside it,
    `weight_layout`, what the board's core reads fastest, and `int4_saving`, the bytes that "auto" saves of an int8 .pte (None:
    none).
    """

    cache_length: Annotated[
        int | None,
        Flag(
            "--max-cache-len",
            "Positions in the KV cache, or tokens that an encoder reads. Default: the model's own (an encoder's: at most 128).",
            CHECKPOINT,
        ),
    ] = None
    activations: Annotated[
        Activations,
        Flag("--activations", "int8 activation scales: found at run time, or calibrated.", Kind.DECODER),
    ] = "dynamic"
    cache_scales: Annotated[
        CacheScales,
        Flag("--kv-scales", "Scales of the int8 KV cache: calibrated, or found at run time.", Kind.DECODER),
    ] = "dynamic"
    _: KW_ONLY
    encoder_length: Annotated[
        int | None,
        Flag(
            "--max-encoder-len",
            "Tokens that the encoder of an encoder-decoder reads, or samples that it hears. Default: the model's own; of a "
            "text at most 128, of a waveform a second.",
            Kind.ENCODER_DECODER,
        ),
    ] = None
    language: Annotated[
        str | None,
        Flag(
            "--language",
            "The language that is spoken to an encoder-decoder, such as en. Default: what its generation_config.json says.",
            Kind.ENCODER_DECODER,
        ),
    ] = None
    task: Annotated[
        Task | None,
        Flag(
            "--task",
            "What an encoder-decoder makes of speech: transcribe it, or translate it into English. Default: as --language.",
            Kind.ENCODER_DECODER,
        ),
    ] = None
    calibration_text: Annotated[
        Path | None,
        Flag(
            "--calibration-text",
            "UTF-8 text to calibrate on (an encoder: lines). Default: what the model generates, or random tokens.",
            CHECKPOINT,
            input=True,
        ),
    ] = None
    stream: Annotated[
        int | None,
        Flag(
            "--stream",
            "Take sound as it comes: so many frames of new samples a step, of which the model keeps its newest window.",
            Kind.ENCODER,
        ),
    ] = None
    frame: Annotated[
        str | None,
        Flag(
            "--frame",
            "Take a camera's frames of WIDTHxHEIGHT pixels, such as 160x120; the firmware makes the model's images of them.",
            Kind.ENCODER,
        ),
    ] = None
    prefill: Annotated[
        int | None,
        Flag(
            "--prefill",
            "Read prompts 8, 16 or 32 tokens at once, in fewer instructions and more RAM. Default: one by one.",
            Kind.DECODER | Kind.DECODER_NPU,
        ),
    ] = None
    when_full: Annotated[
        WhenFull,
        Flag(
            "--when-full",
            "Where the KV cache is full: stop, or slide and keep the first and the last positions.",
            Kind.DECODER,
        ),
    ] = "stop"
    sinks: Annotated[
        int | None,
        Flag("--sinks", f"The first positions that a sliding cache keeps. Default: {SINKS}.", Kind.DECODER),
    ] = None
    npu: NpuTarget | None = None
    step: StepForm = "npu"
    weight_layout: WeightLayout = "rows"
    weights: Annotated[
        Weights,
        Flag(
            "--weights",
            "A decoder's linears: int8; int4 in groups of 32 (half the size), on an NPU 15 levels; auto: each by what it costs, to fit.",
            Kind.DECODER | Kind.DECODER_NPU | Kind.ENCODER_DECODER,
            narrower={"auto": Kind.DECODER | Kind.DECODER_NPU},
        ),
    ] = "int8"
    int4_saving: int | None = None
    operators: Annotated[
        Operators,
        Flag(
            "--operators",
            "Of the .pte: mcu, this SDK's; portable, ExecuTorch's own alone, which its runtime has as it comes, slower.",
            Kind.DECODER,
        ),
    ] = "mcu"
    etrecord: Annotated[
        bool,
        Flag(
            "--etrecord",
            "Also write model.etrecord: the graph with its modules, for ExecuTorch's Inspector.",
            ON_PROCESSOR,
        ),
    ] = False

    def check(self) -> None:
        """Raises UsageError for options that do not go together, or have a value that they cannot have."""
        check_choices(self)
        if self.stream is not None and self.stream < 1:
            raise UsageError(f"--stream is 1 frame of sound or more, not {self.stream}.")
        self.frame_size()
        if self.prefill is not None and self.prefill not in PREFILL_ROWS:
            wanted = ", ".join(map(str, PREFILL_ROWS[:-1]))
            raise UsageError(
                f"--prefill takes {wanted} or {PREFILL_ROWS[-1]} tokens at once; {self.prefill} was given.",
                hint="Give one of these, or leave it out to read prompts token by token.",
            )
        if self.sinks is not None and self.when_full == "stop":
            raise UsageError(
                "--sinks is for a cache that slides; --when-full is stop.",
                hint="Give --when-full slide, or leave --sinks out.",
            )
        if self.sinks is not None and self.sinks < 0:
            raise UsageError(f"--sinks is a number of positions from 0 up, not {self.sinks}.")
        if self.operators == "portable":
            self._check_portable()
        if self.etrecord and self.npu is not None:
            raise UsageError(
                f"--etrecord is for a processor; {self.npu.accelerator} is the target.",
                hint="Leave --etrecord out, or take another --target.",
            )
        if self.cache_length is not None:
            self.check_length(self.cache_length)
        if self.weights != "int8" and self.npu is not None and self.prefill is not None:
            raise UsageError(
                f"--weights and --prefill do not go together on {self.npu.accelerator}: a chunk's linears there read the int8 "
                "weights of the processor's step.",
                hint="Leave --weights out, or --prefill, or take the board's processor as --target.",
            )
        if self.weights != "int8" and self.npu is not None and self.step == "linears":
            raise linears_of_few_levels()

    def _check_portable(self) -> None:
        """Raises UsageError for what ExecuTorch's own operators have no form of, or what would change nothing there."""
        if self.npu is not None:
            raise UsageError(
                f"--operators portable is for a processor; {self.npu.accelerator} is the target.",
                hint="Leave --operators out, or take --target with the board's processor.",
            )
        why = {
            "activations": "activations are float32 in it",
            "cache_scales": "the KV cache is float32 in it",
            "calibration_text": "nothing is calibrated in it",
            "prefill": "it reads prompts token by token",
            "when_full": "its cache ends where it is full",
            "weights": "its weights are int8",
        }
        own = options_of(CompileOptions)
        for name, reason in why.items():
            if getattr(self, name) != own[name].default:
                flag = own[name].flags[0]
                raise UsageError(
                    f"{flag} and --operators portable do not go together: {reason}.",
                    hint=f"Leave {flag} out, or --operators.",
                )

    @property
    def step_on_processor(self) -> bool:
        """Whether attention, caches and what is quantized for them are the processor's in a decoder's step."""
        return self.npu is None or self.step != "npu"

    @property
    def kept_sinks(self) -> int | None:
        """Positions that a cache which slides keeps from the beginning; None for one that does not."""
        if self.when_full == "stop":
            return None
        return SINKS if self.sinks is None else self.sinks

    def check_length(self, length: int) -> None:
        """Raises UsageError for a cache of no positions, and for chunks or sinks that one of `length` has no room for."""
        if length < 1:
            raise UsageError(
                f"--max-cache-len takes a number of positions from 1 up; {length} was given.",
                hint="Leave it out for the model's own limit.",
            )
        if self.kept_sinks is not None and length < self.kept_sinks + LEAST_RING:
            raise UsageError(
                f"A cache that slides keeps {self.kept_sinks} first positions and {LEAST_RING} others at least; it has "
                f"{length}.",
                hint="Give a longer --max-cache-len, or fewer --sinks.",
            )
        if self.prefill is not None and length < self.prefill:
            raise UsageError(
                f"--prefill {self.prefill} reads more tokens at once than the cache's {length} positions.",
                hint=f"Give --max-cache-len {self.prefill} at least, a smaller --prefill, or none.",
            )

    def frame_size(self) -> tuple[int, int] | None:
        """(height, width) of a camera's frames. Raises UsageError for a text that is no size."""
        if self.frame is None:
            return None
        match = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", self.frame)
        if match is None or 0 in (int(match[1]), int(match[2])):
            raise UsageError(
                f"--frame is WIDTHxHEIGHT in pixels, such as 160x120, not {self.frame!r}.",
                hint="Give the size of your camera's frames.",
            )
        return int(match[2]), int(match[1])

    def key_facts(self) -> dict[str, object]:
        """What the cache's key is made from: every field, files by their content."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: value.read_bytes() if isinstance(value, Path) and value.is_file() else value
            for name, value in values.items()
        }


def linears_of_few_levels() -> UsageError:
    """Linears beside the processor's step have its weights, which int4 packs."""
    return UsageError(
        f"--weights and --decode linears do not go together: {LINEARS_READ_INT8}, int4 is for the processor or one delegate.",
        hint="Leave --weights out, or take --decode cpu or npu.",
    )
