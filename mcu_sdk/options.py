"""Every option once: its name in Python, its flag, type, default and help.

From the fields below come the flags of the command line (commands/options.py), the key of the cache, the entries of a
project's manifest and, from these, `regenerate`. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from mcu_sdk.board.npu_target import ActivationBits, NpuTarget
from mcu_sdk.errors import UsageError
from mcu_sdk.operators.layouts import WeightLayout
from mcu_sdk.project.presets import Optimize

Activations = Literal["dynamic", "static"]
CacheScales = Literal["calibrated", "dynamic"]
Weights = Literal["int8", "int4"]


@dataclass(frozen=True)
class Flag:
    """Makes a dataclass field an option. `names`: its flags, between spaces; `help`: for `--help`."""

    names: str
    help: str


@dataclass(frozen=True)
class Option:
    """One option. `name`: the field; `flags`: on the command line, the first one is for messages and the manifest."""

    name: str
    flags: tuple[str, ...]
    type: Any
    default: Any
    help: str

    @property
    def key(self) -> str:
        """Its name in the manifest: the flag's."""
        return self.flags[0].removeprefix("--").replace("-", "_")


@cache
def options_of(holder: type) -> dict[str, Option]:
    """The options among a dataclass's fields, by field name."""
    hints = get_type_hints(holder, include_extras=True)
    found = {}
    for each in fields(holder):
        kind, *flags = get_args(hints[each.name]) or (None,)
        for flag in (flag for flag in flags if isinstance(flag, Flag)):
            found[each.name] = Option(each.name, tuple(flag.names.split()), kind, each.default, flag.help)
    return found


@dataclass(frozen=True)
class CompileOptions:
    """What the user can decide about a checkpoint's way to a .pte.

    `cache_length` is in positions (None: the model's own limit). `activations`: int8 scales found per token at run
    time, or calibrated. `cache_scales`: the same choice for the KV cache. `calibration_text`: a UTF-8 file; without
    one the model generates what it is calibrated on. `weights`: "int4" for the linears of the blocks, in groups of
    32 inputs; the embedding and the last linear are int8 always. Not the user's: `npu`, the Ethos-U to lower to (None
    for the processor), and `weight_layout`, what the board's core reads fastest.
    """

    cache_length: Annotated[
        int | None, Flag("--max-cache-len", "Positions in the KV cache. Default: the model's own.")
    ] = None
    activations: Annotated[
        Activations, Flag("--activations", "int8 activation scales: found at run time, or calibrated.")
    ] = "dynamic"
    cache_scales: Annotated[
        CacheScales, Flag("--kv-scales", "Scales of the int8 KV cache: calibrated, or found at run time.")
    ] = "calibrated"
    calibration_text: Annotated[
        Path | None,
        Flag("--calibration-text", "UTF-8 text to calibrate on. Default: what the model generates."),
    ] = None
    npu: NpuTarget | None = None
    weight_layout: WeightLayout = "rows"
    weights: Annotated[
        Weights, Flag("--weights", "A decoder's linears: int8, or int4 in groups of 32 (half the size).")
    ] = "int8"

    def check(self) -> None:
        """Raises UsageError for options that do not go together."""
        if self.weights not in ("int8", "int4"):
            raise UsageError(f"Weights are 'int8' or 'int4', not {self.weights!r}.")
        if self.weights == "int4" and self.npu is not None:
            raise UsageError(
                f"int4 weights are for a board's processor; {self.npu.accelerator} takes int8.",
                hint="Leave --weights out, or take another --target.",
            )

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
    `memory_mode` (Vela's name; None: the board's choice) and `activation_bits` for an NPU.
    With `profile` the firmware counts the instructions of each kernel call.
    """

    board: Annotated[str, Flag("--board", "A board's name (see `mcu-sdk boards`) or a folder.")] = (
        "corstone-300"
    )
    compile_options: CompileOptions = field(default_factory=CompileOptions)
    model: Annotated[
        str | None,
        Flag("--model", "A checkpoint's folder, a GGUF file or a hub id. Without it: the bundled model."),
    ] = None
    pte: Annotated[Path | None, Flag("--pte", "An exported program instead of a checkpoint.")] = None
    tokenizer: Annotated[Path | None, Flag("--tokenizer", "A tokenizer.json for a .pte, or its folder.")] = (
        None
    )
    output: Annotated[
        Path | None, Flag("--output --out -o", "The project's folder. Default: MODEL-BOARD.")
    ] = None
    name: Annotated[str | None, Flag("--name", "What to call the model in comments.")] = None
    target: Annotated[
        str | None,
        Flag("--target", "The board's processor or an NPU, such as ethos-u55-128. Default: the board's."),
    ] = None
    memory_mode: Annotated[
        str | None, Flag("--memory-mode", "Vela's memory mode for an NPU. Default: the board's first.")
    ] = None
    activation_bits: Annotated[
        ActivationBits, Flag("--activation-bits", "Width of the activations on an NPU.")
    ] = 8
    use_cache: bool = True
    profile: bool = False
    optimize: Annotated[
        Optimize, Flag("--optimize", "Compile the kernels for speed (-O3) or for size (-Os).")
    ] = "speed"

    def check(self, npu: NpuTarget | None) -> None:
        """Raises UsageError for options that do not go together; `npu` is what the target means."""
        if self.model is not None and self.pte is not None:
            raise UsageError("--model and --pte exclude each other; both were given.", hint="Leave one out.")
        if self.pte is not None and self.compile_options.weights != "int8":
            raise UsageError(
                "--weights is for checkpoints; the weights of a .pte stay as they were exported.",
                hint="Leave it out, or give the checkpoint with --model.",
            )
        replace(self.compile_options, npu=npu).check()

    def to_manifest(self, npu: NpuTarget | None) -> dict[str, str | int | float | bool | None]:
        """What a manifest keeps of the request. `npu`: what was compiled for."""
        asked = self
        if npu is not None:
            asked = replace(
                self,
                target=npu.accelerator,
                memory_mode=npu.memory_mode,
                activation_bits=npu.activation_bits,
            )
        kept = {}
        for found, values in ((GenerateRequest, asked), (CompileOptions, self.compile_options)):
            for each in options_of(found).values():
                value = getattr(values, each.name)
                kept[each.key] = str(value) if isinstance(value, Path) else value
        if npu is None:
            kept["activation_bits"] = None
        return {key: value for key, value in kept.items() if key not in NOT_KEPT}

    @staticmethod
    def from_manifest(kept: Mapping[str, object]) -> GenerateRequest:
        """The request that `to_manifest` kept; what is missing or of no use is as if not given."""
        return GenerateRequest(
            compile_options=CompileOptions(**_values(CompileOptions, kept)),
            **_values(GenerateRequest, kept),
        )


NOT_KEPT = ("output", "name", "tokenizer")
"""Options that stand elsewhere in a manifest, or that the project's own place tells."""


def _values(holder: type, kept: Mapping[str, object]) -> dict[str, Any]:
    found = {}
    for each in options_of(holder).values():
        value = kept.get(each.key)
        if value is None:
            continue
        found[each.name] = Path(str(value)) if Path in getattr(each.type, "__args__", ()) else value
    return found
