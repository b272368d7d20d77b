"""What is asked of `generate`: its own options, and the rules of those that do not go together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from mcu_sdk.board.npu_target import ActivationBits, NpuTarget, StepForm
from mcu_sdk.errors import UsageError
from mcu_sdk.option import Flag, Option, options_of
from mcu_sdk.options.compiling import LINEARS_READ_INT8, CompileOptions, linears_of_few_levels
from mcu_sdk.options.kinds import ANSWERS, CHECKPOINT, ON_NPU, ON_PROCESSOR, PTE, TEXTS, TOKENS, Kind
from mcu_sdk.options.values import (
    check_choices,
    check_day,
    parse_flash,
    parse_partition,
    read_kept,
)
from mcu_sdk.project.asked import check_stops, parse_stops
from mcu_sdk.project.executorch import Runtime
from mcu_sdk.project.library import Format
from mcu_sdk.project.manifest import Input
from mcu_sdk.project.presets import Optimize

Decode = Literal["cpu", "linears", "npu", "auto"]

PARTITION_UNIT = 4096
"""Bytes of the smallest erase sectors."""
PREFILL_BESIDE_NPU = "a step in one delegate keeps its caches in another layout than a prompt's chunk"


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
        if self.runtime == "executorch":
            self._check_official()
        elif self.pte_partition is not None:
            raise UsageError(
                "--pte-partition is for --runtime executorch; a compiled plan's weights lie where a step costs least.",
                hint="Add --runtime executorch, or leave --pte-partition out.",
            )
        check_stops(self.stop)
        if self.format == "library":
            self._check_library()
        if self.chat_date is not None:
            check_day(self.chat_date)
        kind = PTE if self.pte is not None else ON_PROCESSOR if npu is None else ON_NPU
        self.check_kind(kind | Kind.DECODER if self._may_do_without(asked) else kind)

    def _check_library(self) -> None:
        """Raises UsageError for what is a firmware's, and not a library's to do."""
        if self.compile_options.prefill is not None:
            raise UsageError(
                "--prefill is for a firmware; a library reads its prompts token by token.",
                hint="Leave --prefill or --format out.",
            )
        if self.compile_options.when_full == "slide":
            raise UsageError(
                "--when-full slide is for a firmware; a library's program decides what a full cache means.",
                hint="Leave --when-full or --format out.",
            )
        if self.asks_for_chat:
            raise UsageError(
                "--chat, --system, --chat-date and --store-system-cache are for a firmware; a library is given token ids by its program.",
                hint="Leave them out.",
            )
        if self.stop:
            raise UsageError(
                "--stop is for a firmware; a library's program ends its answers itself.",
                hint="Leave --stop or --format out.",
            )

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
            raise linears_of_few_levels()
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
        for each, value in self._values():
            applies = each.narrower.get(value)
            if applies is not None and not kind & applies:
                raise UsageError(
                    f"{each.flags[0]} {value} is for {applies}; this is {kind}.",
                    hint=f"Give another value, or leave {each.flags[0]} out.",
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
                **{
                    each.name: read_kept(each, kept)
                    for each in options_of(holder).values()
                    if each.key in kept
                },
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
