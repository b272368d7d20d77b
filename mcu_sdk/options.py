"""Every option once: its name in Python, its flag, type, default and help.

From the fields below come the flags of the command line (commands/options.py), the key of the cache, the entries of a
project's manifest and, from these, `regenerate`. No torch here.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from mcu_sdk.board.npu_target import ActivationBits, NpuTarget, StepForm
from mcu_sdk.board.table import bytes_of
from mcu_sdk.errors import UsageError
from mcu_sdk.operators.layouts import WeightLayout
from mcu_sdk.option import Flag, Option, options_of
from mcu_sdk.project.asked import check_stops, parse_stops
from mcu_sdk.project.executorch import Runtime
from mcu_sdk.project.library import Format
from mcu_sdk.project.manifest import Input
from mcu_sdk.project.presets import Optimize

Activations = Literal["dynamic", "static"]
CacheScales = Literal["calibrated", "dynamic"]
Weights = Literal["int8", "int4", "auto"]
WhenFull = Literal["stop", "slide"]
Operators = Literal["mcu", "portable"]
Task = Literal["transcribe", "translate"]
Decode = Literal["cpu", "linears", "npu", "auto"]

SINKS = 4
"""Positions that a cache which slides keeps from the beginning: as many as StreamingLLM (arXiv 2309.17453) found to be
enough."""

PREFILL_ROWS = (8, 16, 32)
PARTITION_UNIT = 4096
"""Bytes of the smallest erase sectors."""
PREFILL_BESIDE_NPU = "a step in one delegate keeps its caches in another layout than a prompt's chunk"
LINEARS_READ_INT8 = "its products read the processor's int8 weights"
LEAST_RING = 2
"""Positions beside the sinks: the token's own, and one before it."""


class Kind(enum.Flag):
    """What is compiled, and for what: options apply to some of these."""

    DECODER = enum.auto()
    DECODER_NPU = enum.auto()
    ENCODER = enum.auto()
    ENCODER_DECODER = enum.auto()
    ENCODER_NPU = enum.auto()
    PTE_TOKENS = enum.auto()
    PTE_TEXTS = enum.auto()
    PTE_TENSORS = enum.auto()

    def __str__(self) -> str:
        """For messages: what it is, in as few words as it takes."""
        words, left = [], self
        for kind, word in WORDS.items():
            if kind & left == kind:
                words.append(word)
                left &= ~kind
        return " or ".join(words)


ON_NPU = Kind.DECODER_NPU | Kind.ENCODER_NPU
ON_PROCESSOR = Kind.DECODER | Kind.ENCODER | Kind.ENCODER_DECODER
CHECKPOINT = ON_PROCESSOR | ON_NPU
PTE = Kind.PTE_TOKENS | Kind.PTE_TEXTS | Kind.PTE_TENSORS
TEXTS = (
    Kind.DECODER | Kind.DECODER_NPU | Kind.ENCODER | Kind.ENCODER_DECODER | Kind.PTE_TOKENS | Kind.PTE_TEXTS
)
TOKENS = Kind.DECODER | Kind.DECODER_NPU | Kind.PTE_TOKENS
ANSWERS = TOKENS | Kind.ENCODER_DECODER
ANY = CHECKPOINT | PTE

WORDS = {
    CHECKPOINT: "a checkpoint",
    PTE: "a .pte",
    ON_NPU: "a checkpoint on an NPU",
    ON_PROCESSOR: "a checkpoint on a processor",
    TOKENS: "a language model",
    Kind.DECODER | Kind.DECODER_NPU: "a decoder's checkpoint",
    Kind.DECODER: "a decoder's checkpoint on a processor",
    Kind.DECODER_NPU: "a decoder's checkpoint on an NPU",
    Kind.ENCODER: "an encoder's checkpoint on a processor",
    Kind.ENCODER_DECODER: "an encoder-decoder's checkpoint",
    Kind.ENCODER_NPU: "an encoder's checkpoint on an NPU",
    Kind.PTE_TOKENS: "a language model's .pte",
    Kind.PTE_TEXTS: "an encoder's .pte",
    Kind.PTE_TENSORS: "a .pte that takes tensors",
}


def parse_flash(text: str) -> int:
    """Bytes of "512K", "2M" or "524288". Raises UsageError for what is no size, or nothing."""
    return parse_size(text, "--flash", "of flash that the image may take")


def parse_partition(text: str) -> int:
    """Bytes of a partition, as parse_flash has them."""
    return parse_size(text, "--pte-partition", "that the .pte may take")


def parse_size(text: str, flag: str, which: str) -> int:
    """The same for another option: `which` bytes it is about."""
    try:
        size = int(bytes_of(str(text).strip()))
    except ValueError:
        size = 0
    if size < 1:
        raise UsageError(
            f"{flag} takes a number of bytes, or of K or M, such as 512K, not {text!r}.",
            hint=f"Give the bytes {which}.",
        )
    return size


def choices_of(option: Option) -> list[object]:
    """The values of an option that has but a few, None left out; nothing of another one."""
    kinds = (option.type, *get_args(option.type))
    return [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]


def check_choices(options: object) -> None:
    """Raises UsageError for a value that is none of its option's: from Python, nobody else has looked at it."""
    for name, option in options_of(type(options)).items():
        choices = choices_of(option)
        value = getattr(options, name)
        if choices and value is not None and value not in choices:
            wanted = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
            raise UsageError(f"{option.flags[0]} is {wanted}, not {value!r}.")


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
            raise _linears_of_few_levels()

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


@dataclass(frozen=True)
class GenerateRequest:
    """What is asked of `generate`. `model` and `pte` exclude each other; neither means the bundled model.

    `tokenizer` is a tokenizer.json, or a folder with one, for a .pte that comes from elsewhere; `name` what the
    model is called in comments and reports. `target`: the processor or an NPU of the board (None: its default), with
    `memory_mode` (Vela's name; None: the board's choice), `activation_bits` and `decode` for an NPU.
    Not the user's: with `profile` the firmware counts the instructions of each kernel call; `expected` is what the inputs
    have to be, by field; `given` are the options that were named though they may have their defaults.
    """

    board: Annotated[
        str, Flag("--board", "A board's name (see `mcu-sdk boards`) or a folder.", input=True)
    ] = "corstone-300"
    compile_options: CompileOptions = field(default_factory=CompileOptions)
    _: KW_ONLY
    model: Annotated[
        str | None,
        Flag(
            "--model",
            "A checkpoint's folder, a GGUF file or a hub id. Without it: the bundled model.",
            CHECKPOINT,
            input=True,
        ),
    ] = None
    pte: Annotated[
        Path | None, Flag("--pte", "An exported program instead of a checkpoint.", PTE, input=True)
    ] = None
    tokenizer: Annotated[
        Path | None,
        Flag(
            "--tokenizer",
            "A tokenizer.json (or its folder) for a .pte, or instead of the checkpoint's.",
            TEXTS,
            input=True,
        ),
    ] = None
    output: Annotated[
        Path | None, Flag("--output --out -o", "The project's folder. Default: MODEL-BOARD.")
    ] = None
    name: Annotated[
        str | None, Flag("--name", "What to call the model: in comments, and a library's names.")
    ] = None
    target: Annotated[
        str | None,
        Flag("--target", "The board's processor or an NPU, such as ethos-u55-128. Default: the board's."),
    ] = None
    memory_mode: Annotated[
        str | None,
        Flag("--memory-mode", "Vela's memory mode for an NPU. Default: the board's first.", ON_NPU),
    ] = None
    activation_bits: Annotated[
        ActivationBits, Flag("--activation-bits", "Width of the activations on an NPU.", ON_NPU)
    ] = 8
    decode: Annotated[
        Decode | None,
        Flag(
            "--decode",
            "Where a decoder computes one token beside an NPU: on the processor (cpu), its linears on the NPU (linears), all in "
            "one delegate (npu), or where it takes the fewest cycles by estimate (auto). Default: npu, with --prefill cpu; where "
            "the NPU is the board's default target, auto.",
            Kind.DECODER_NPU,
        ),
    ] = None
    use_cache: bool = True
    force: bool = False
    profile: bool = False
    grammar: Annotated[
        Path | None,
        Flag("--grammar", "A file with a regular expression that every answer matches.", ANSWERS, input=True),
    ] = None
    json_schema: Annotated[
        Path | None,
        Flag("--json-schema", "A JSON schema under which every answer is valid JSON.", ANSWERS, input=True),
    ] = None
    chat: Annotated[
        bool,
        Flag("--chat", "Refuse a checkpoint whose chat template the firmware cannot follow.", TOKENS),
    ] = False
    system: Annotated[
        str | None,
        Flag(
            "--system", "What every conversation begins with. Default: what the chat template says.", TOKENS
        ),
    ] = None
    chat_date: Annotated[
        str | None,
        Flag(
            "--chat-date",
            "The day that a chat template is told, as YYYY-MM-DD, where it writes the date.",
            TOKENS,
        ),
    ] = None
    store_system_cache: Annotated[
        bool,
        Flag(
            "--store-system-cache",
            "Keep in flash what the model remembers of the beginning of every conversation.",
            Kind.DECODER | Kind.PTE_TOKENS,
        ),
    ] = False
    stop: Annotated[
        tuple[str, ...],
        Flag(
            "--stop",
            "A text that ends an answer where a request names none; several times for several. \\n is a line break.",
            ANSWERS,
            read=parse_stops,
            repeated=True,
        ),
    ] = ()
    flash: Annotated[
        int | None,
        Flag(
            "--flash",
            "With --weights auto: bytes of flash for weights, code and tokenizer, such as 512K. Default: what the board has.",
            Kind.DECODER | Kind.DECODER_NPU,
            read=parse_flash,
        ),
    ] = None
    optimize: Annotated[
        Optimize, Flag("--optimize", "Compile the kernels for speed (-O3) or for size (-Os).")
    ] = "speed"
    format: Annotated[
        Format,
        Flag("--format", "A firmware that runs, or a library for a firmware that is there already."),
    ] = "firmware"
    runtime: Annotated[
        Runtime,
        Flag(
            "--runtime",
            "What runs the model: its compiled plan, or ExecuTorch's own runtime.",
            ON_PROCESSOR | PTE,
        ),
    ] = "plan"
    pte_partition: Annotated[
        int | None,
        Flag(
            "--pte-partition",
            "With --runtime executorch: the bytes at the end of a flash region that are the .pte's own, such as 2M.",
            ON_PROCESSOR | PTE,
            read=parse_partition,
        ),
    ] = None

    expected: Mapping[str, Input] = field(default_factory=dict)
    given: frozenset[str] = frozenset()

    def check(self, npu: NpuTarget | None) -> None:
        """Raises UsageError for options that do not go together, or of no use; `npu` is what the target means."""
        check_choices(self)
        if self.model is not None and self.pte is not None:
            raise UsageError("--model and --pte exclude each other; both were given.", hint="Leave one out.")
        if self.grammar is not None and self.json_schema is not None:
            raise UsageError(
                "--grammar and --json-schema exclude each other; both were given.", hint="Leave one out."
            )
        asked = self.decode_asked(npu)
        if asked is not None:
            self._check_decode(asked)
        if npu is not None and asked is not None and not self._may_do_without(asked):
            self.check_on_npu(npu)
        self.compile_options.check()
        self.check_flash()
        if self.format == "library" and self.compile_options.prefill is not None:
            raise UsageError(
                "--prefill is for a firmware; a library reads its prompts token by token.",
                hint="Leave --prefill or --format out.",
            )
        if self.format == "library" and self.compile_options.when_full == "slide":
            raise UsageError(
                "--when-full slide is for a firmware; a library's program decides what a full cache means.",
                hint="Leave --when-full or --format out.",
            )
        if self.runtime == "executorch":
            self._check_official()
        elif self.pte_partition is not None:
            raise UsageError(
                "--pte-partition is for --runtime executorch; a compiled plan's weights lie where a step costs least.",
                hint="Add --runtime executorch, or leave --pte-partition out.",
            )
        if self.format == "library" and self.asks_for_chat:
            raise UsageError(
                "--chat, --system, --chat-date and --store-system-cache are for a firmware; a library is given token ids by its program.",
                hint="Leave them out.",
            )
        check_stops(self.stop)
        if self.format == "library" and self.stop:
            raise UsageError(
                "--stop is for a firmware; a library's program ends its answers itself.",
                hint="Leave --stop or --format out.",
            )
        if self.chat_date is not None:
            check_day(self.chat_date)
        kind = PTE if self.pte is not None else ON_PROCESSOR if npu is None else ON_NPU
        self.check_kind(kind | Kind.DECODER if self._may_do_without(asked) else kind)

    def check_on_npu(self, npu: NpuTarget) -> None:
        """Raises UsageError for what no model on an NPU can have."""
        replace(self.compile_options, npu=npu).check()
        if self.format == "library":
            raise no_npu_library(npu)
        if self.runtime == "executorch":
            raise no_npu_executorch(npu)

    def decode_asked(self, npu: NpuTarget | None) -> Decode | None:
        """Where one token is to be computed beside the NPU that the target means; None without one, and of a .pte."""
        if npu is None or self.pte is not None:
            return None
        if self.target is None:
            return self.decode or "auto"
        return self.decode or ("npu" if self.compile_options.prefill is None else "cpu")

    def decoder_kinds(self, npu: NpuTarget) -> Kind:
        """A decoder on this NPU, and where nothing of it may have to run there, on the processor."""
        on_processor = self._may_do_without(self.decode_asked(npu))
        return Kind.DECODER_NPU | Kind.DECODER if on_processor else Kind.DECODER_NPU

    def _may_do_without(self, asked: Decode | None) -> bool:
        """Whether a decoder may come out that has nothing for the NPU."""
        return asked in ("cpu", "auto") and self.compile_options.prefill is None

    def decode_left_out(self) -> dict[StepForm, str]:
        """The forms of a step beside an NPU that other options leave no choice of, and why."""
        if self.compile_options.prefill is not None:
            return {"npu": PREFILL_BESIDE_NPU}
        reasons = [f"{each.flags[0]} is for {each.applies}" for each in self._of_no_use(Kind.DECODER_NPU)]
        if self.format == "library":
            reasons.insert(0, "--format library is for models on the processor")
        if reasons:
            return {"linears": reasons[0], "npu": reasons[0]}
        few = self.compile_options.weights != "int8"
        return {"linears": LINEARS_READ_INT8} if few else {}

    def _check_decode(self, asked: Decode) -> None:
        """Raises UsageError for what a step would not have where it runs."""
        own = options_of(GenerateRequest)
        has_chunks = self.compile_options.prefill is not None
        if asked == "npu" and has_chunks:
            raise UsageError(
                f"--prefill and --decode npu do not go together: {PREFILL_BESIDE_NPU}.",
                hint="Take --decode cpu or linears, or leave --prefill out.",
            )
        if asked == "linears" and self.compile_options.weights != "int8":
            raise _linears_of_few_levels()
        for name in ("memory_mode", "activation_bits") if asked == "cpu" and not has_chunks else ():
            if name in self.given or getattr(self, name) != own[name].default:
                raise UsageError(
                    f"{own[name].flags[0]} is for what runs on the NPU; with --decode cpu nothing does.",
                    hint=f"Leave {own[name].flags[0]} out, or take --decode npu or auto.",
                )

    def _check_official(self) -> None:
        """Raises UsageError for what ExecuTorch's own runtime cannot have here."""
        if self.format == "library":
            raise UsageError(
                "--runtime executorch is for a firmware; a library is made of a compiled plan.",
                hint="Leave --runtime or --format out; the operators for a program of yours are written by "
                "mcu_sdk.write_operator_library().",
            )
        if self.pte_partition is not None and (self.pte_partition < 1 or self.pte_partition % PARTITION_UNIT):
            raise UsageError(
                f"--pte-partition is a multiple of {PARTITION_UNIT} bytes, not {self.pte_partition}.",
                hint="Give whole erase sectors of the board's flash.",
            )

    def check_flash(self, *, on_host: bool = False) -> None:
        """Raises UsageError for a budget that nothing is chosen by, and on a host for a choice without one."""
        auto = self.compile_options.weights == "auto"
        if self.flash is not None and not auto:
            raise UsageError(
                "--flash is what --weights auto chooses by; without that it changes nothing.",
                hint="Add --weights auto, or leave --flash out.",
            )
        if auto and self.flash is None and on_host:
            raise UsageError(
                "--weights auto chooses by a board's flash, and a host has none.",
                hint="Give --flash: on a host it counts the .pte alone.",
            )

    @property
    def asks_for_chat(self) -> bool:
        """Whether there has to be a chat template."""
        return self.chat or self.store_system_cache or (self.system, self.chat_date) != (None, None)

    def check_kind(self, kind: Kind) -> None:
        """Raises UsageError for an option that was given and makes no difference to any of `kind`."""
        for each in self._of_no_use(kind):
            raise UsageError(
                f"{each.flags[0]} is for {each.applies}; this is {kind}.",
                hint=f"Leave {each.flags[0]} out.",
            )

    def _of_no_use(self, kind: Kind) -> list[Option]:
        """The options that were given and make no difference to any of `kind`."""
        return [
            each
            for each, value in self._values()
            if not each.applies_to(kind) and (each.name in self.given or value != each.default)
        ]

    def _values(self) -> list[tuple[Option, Any]]:
        """Every option with its value."""
        return [
            (each, getattr(holder, each.name))
            for holder in (self, self.compile_options)
            for each in options_of(type(holder)).values()
        ]

    def to_manifest(self, kind: Kind, name: str) -> dict[str, str | int | float | bool | None]:
        """What a manifest keeps besides the inputs: every option that makes a difference. `name`: the model's."""
        kept = {
            each.key: json.dumps(value) if isinstance(value, tuple) else value
            for each, value in self._values()
            if not each.input and each.name != "output" and each.applies_to(kind)
        }
        return {**kept, "name": name}

    @staticmethod
    def from_manifest(kept: Mapping[str, object], places: Mapping[str, object]) -> GenerateRequest:
        """The request that `to_manifest` kept, with the places of its inputs by field.

        Raises UsageError for a value that its option does not have.
        """
        values = {
            holder: {
                **{each.name: _read(each, kept) for each in options_of(holder).values() if each.key in kept},
                **{
                    each.name: places[each.name]
                    for each in options_of(holder).values()
                    if each.name in places
                },
            }
            for holder in (GenerateRequest, CompileOptions)
        }
        options = CompileOptions(**values[CompileOptions])
        return GenerateRequest(compile_options=options, **values[GenerateRequest])


def check_day(text: str) -> None:
    """Raises UsageError for what is no day, as YYYY-MM-DD."""
    with contextlib.suppress(ValueError):
        if datetime.date.fromisoformat(text).isoformat() == text:
            return
    raise UsageError(
        f"--chat-date is a day, as YYYY-MM-DD; it is {text!r}.", hint="Give one, such as 2026-01-31."
    )


def no_npu_library(npu: NpuTarget) -> UsageError:
    """A library for an NPU: its driver tells errors on the console and ends the run, which is not a library's to do."""
    return UsageError(
        f"--format library is for models on the processor; {npu.accelerator} is the target.",
        hint="Take --target with the board's processor, or leave --format out.",
    )


def no_npu_executorch(npu: NpuTarget) -> UsageError:
    """ExecuTorch's backend for an NPU comes with a driver of its own, which is not in a project."""
    return UsageError(
        f"--runtime executorch is for models on the processor; {npu.accelerator} is the target, whose parts of the model "
        "take ExecuTorch's own backend and driver.",
        hint="Take --target with the board's processor, or leave --runtime out.",
    )


def _read(option: Option, kept: Mapping[str, object]) -> Any:
    """An option's value in a manifest, if it is one of the option's type."""
    value = kept[option.key]
    choices, kinds = choices_of(option), get_args(option.type) or (option.type,)
    if get_origin(option.type) is tuple:
        with contextlib.suppress(TypeError, ValueError):
            found = json.loads(str(value))
            if isinstance(found, list) and all(isinstance(each, str) for each in found):
                return tuple(found)
    if choices:
        fits = value in choices or (value is None and type(None) in kinds)
    else:
        fits = get_origin(option.type) is not tuple and type(value) in kinds
    if not fits:
        raise UsageError(
            f"The project's manifest says {option.key} = {value!r}, which {option.flags[0]} does not take.",
            hint="Generate the project again.",
        )
    return value


def _linears_of_few_levels() -> UsageError:
    return UsageError(
        f"--weights and --decode linears do not go together: {LINEARS_READ_INT8}, int4 is for the processor or one delegate.",
        hint="Leave --weights out, or take --decode cpu or npu.",
    )
