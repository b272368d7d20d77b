"""A checkpoint or a .pte, and a board -> a firmware project: what `mcu-sdk generate` and `regenerate` do."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.board.npu_target import ActivationBits, NpuTarget
from mcu_sdk.console import step
from mcu_sdk.errors import PteError, UsageError

if TYPE_CHECKING:
    from mcu_sdk.board.board import Board
    from mcu_sdk.npu.artifact import DelegateArtifact
    from mcu_sdk.planning.fit import Layout
    from mcu_sdk.planning.plan import Plan
    from mcu_sdk.planning.pte.read import Pte
    from mcu_sdk.project.npu_details import NpuDetails
    from mcu_sdk.project.render import LanguageModel, Optimize
    from mcu_sdk.recipes.decoder import CompileOptions


@dataclass(frozen=True)
class GenerateRequest:
    """What is asked for. `model` and `pte` exclude each other; neither means the bundled model.

    `tokenizer` is a tokenizer.json, or a folder with one, for a .pte that comes from elsewhere; `name` what the
    model is called in comments and reports. `target`: the processor or an NPU of the board (None: its default), with
    `memory_mode` (Vela's name; None: the board's choice) and `activation_bits` for an NPU.
    With `profile` the firmware counts the instructions of each kernel call.
    """

    board: str
    compile_options: CompileOptions
    model: str | None = None
    pte: Path | None = None
    tokenizer: Path | None = None
    output: Path | None = None
    name: str | None = None
    target: str | None = None
    memory_mode: str | None = None
    activation_bits: ActivationBits = 8
    use_cache: bool = True
    profile: bool = False
    optimize: Optimize = "speed"


@dataclass(frozen=True)
class Generated:
    """The project's folder, what is in it, and in which region each part will lie."""

    project: Path
    name: str
    plan: Plan
    layout: Layout
    facts: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Plain data for `--json` and the terminal; sizes in bytes."""
        return {
            "project": str(self.project),
            "model": self.name,
            "hash": self.plan.model_hash,
            "kernel_calls": len(self.plan.calls),
            "model_bytes": self.plan.model_bytes,
            "arena_bytes": self.plan.arena_bytes,
            "kv_cache_bytes": self.plan.kv_cache_bytes,
            "regions": dict(self.layout.regions),
            "placement": dict(self.layout.reasons),
            "peak_memory_bytes": peak_memory(),
            **self.facts,
        }


def peak_memory() -> int:
    """The most bytes of main memory that this process has had so far."""
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024  # of getrusage's figure
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True)
class _Source:
    """A model on its way into a project, wherever it came from."""

    name: str
    pte: bytes
    names: tuple[str, ...] | None
    tokenizer: Path | None
    facts: dict[str, Any]
    delegates: tuple[DelegateArtifact, ...] = ()


def generate(request: GenerateRequest) -> Generated:
    """Write the project and return what it is. Nothing is left behind when anything is refused.

    Raises BoardError, ModelError, PteError, TextError, UsageError and DoesNotFitError.
    """
    from mcu_sdk.board.board import load_board
    from mcu_sdk.board.target import choose_target
    from mcu_sdk.project.npu_details import details_files
    from mcu_sdk.project.render import ProjectInputs, render_project, slug

    if request.model is not None and request.pte is not None:
        raise UsageError("--model and --pte exclude each other; both were given.", hint="Leave one out.")
    if request.pte is not None and request.compile_options.weights != "int8":
        raise UsageError(
            "--weights is for checkpoints; the weights of a .pte stay as they were exported.",
            hint="Leave it out, or give the checkpoint with --model.",
        )
    board = load_board(request.board)
    npu = choose_target(
        board, request.target, memory_mode=request.memory_mode, activation_bits=request.activation_bits
    )
    replace(request.compile_options, npu=npu).check()
    if request.output is not None:
        _check_output(request.output)
    source = (
        _from_pte(request, request.pte) if request.pte is not None else _from_checkpoint(request, board, npu)
    )
    destination = request.output or Path(f"{slug(source.name)}-{board.name}")
    _check_output(destination)
    with step("Compiling the plan"):
        from mcu_sdk.planning.delegates import check_delegates
        from mcu_sdk.planning.plan import compile_plan
        from mcu_sdk.planning.pte.read import read_pte
        from mcu_sdk.planning.weight_layout import layout_notes, layout_of, weight_notes

        pte = read_pte(source.pte, source.names)
        plan = compile_plan(pte)
        npu = check_delegates(pte, board, npu, chosen=request.target)
        language_model = describe_language_model(plan)
    if npu is not None:
        board = board.with_npu_memory()
    layout = _fit(board, plan, language_model)
    shares = npu is not None and board.npu is not None and board.npu.shared is not None
    shared_layout = _fit(board.with_npu_memory(shared=True), plan, language_model) if shares else None
    with step(f"Writing the project to {destination}"):
        weight_layout = layout_of(pte.instructions)
        notes = [*pte.notes, *weight_notes(source.facts)]
        if request.pte is not None:
            notes += layout_notes(pte.instructions, helium=board.core.helium)
        facts = {**source.facts, "notes": notes, "weight_layout": weight_layout}
        files = {"report.json": (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode()}
        for number, delegate in enumerate(source.delegates):
            files[f"delegate_{number}.tosa"] = delegate.tosa
        if npu is not None:
            files |= details_files(_npu_details(pte, plan, source))
        if source.names is not None:
            files["names.json"] = (json.dumps({"instructions": source.names}, indent=1) + "\n").encode()
        project = render_project(
            ProjectInputs(
                name=source.name,
                board=board,
                layout=layout,
                plan=plan,
                npu=npu,
                shared_layout=shared_layout,
                pte=source.pte,
                language_model=language_model,
                tokenizer=_device_tokenizer(source.tokenizer, facts) if language_model else None,
                files=files,
                options={**_options(request, npu), "weight_layout": weight_layout},
                profile=request.profile,
                optimize=request.optimize,
            ),
            destination,
        )
    return Generated(project, source.name, plan, layout, facts)


def _npu_details(pte: Pte, plan: Plan, source: _Source) -> NpuDetails:
    """What the report says of the NPU's part."""
    from mcu_sdk.npu.blob import read_blob
    from mcu_sdk.planning.instruction import Tensor
    from mcu_sdk.planning.pte.read import ETHOS_U
    from mcu_sdk.project.npu_details import NpuDetails, count_operations

    blobs = [i.arguments[0] for i in pte.instructions if i.operator == f"delegate::{ETHOS_U}"]
    streams = [read_blob(bytes(blob.data or b"")).commands for blob in blobs if isinstance(blob, Tensor)]
    return NpuDetails(
        operations=count_operations(streams),
        calls=len(plan.calls) - len(streams),
        left=tuple(source.facts.get("cpu_operators") or ()),
        estimates=tuple(delegate.vela_summary for delegate in source.delegates),
    )


UNBUILDABLE = re.compile(r'["\\;|\x00-\x1f\x7f]')
"""What CMake or Ninja trips over in the path of a folder to build in; `;` even sends CMake to other folders."""


def _check_output(destination: Path) -> None:
    """Raises UsageError for a folder that must not be touched, cannot be made, or could not be built in."""
    from mcu_sdk.project.render import check_destination

    path = os.path.abspath(destination)
    found = UNBUILDABLE.search(path)
    if found:
        raise UsageError(
            f"CMake and Ninja cannot build in a folder whose path has the character {found[0]!a}: {path!a}.",
            hint="Name another --output.",
        )
    try:
        check_destination(destination)
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise UsageError(
            f"The project cannot be written to {path!a}: {error.strerror or error}.",
            hint="Name another --output.",
        ) from error


def _fit(board: Any, plan: Plan, language_model: LanguageModel | None) -> Layout:
    from mcu_sdk.planning.fit import check_fit

    length = language_model.max_sequence_length if language_model else None
    return check_fit(
        board,
        arena_bytes=plan.arena_bytes,
        kv_cache_bytes=plan.kv_cache_bytes,
        weights_bytes=plan.model_bytes,
        max_sequence_length=length,
        traffic=step_traffic(plan),
    )


def step_traffic(plan: Plan) -> dict[str, int]:
    """The bytes of arena, kv_cache and weights that the calls of one step read and write, each operand counted whole.

    Of an embedding table only the row that comes out is read; of a KV cache all positions count, as at its end.
    """
    from mcu_sdk.planning.instruction import Space, Tensor

    names = {Space.ARENA: "arena", Space.KV_CACHE: "kv_cache", Space.MODEL: "weights"}
    total = dict.fromkeys(names.values(), 0)
    for planned in plan.calls:
        operands = [value for value in planned.instruction.arguments if isinstance(value, Tensor)]
        looks_up = "embedding" in planned.instruction.operator
        row = min((tensor.nbytes for tensor in operands if tensor.space is Space.ARENA), default=0)
        for tensor in operands:
            whole = not (looks_up and tensor.space is Space.MODEL)
            total[names[tensor.space]] += tensor.nbytes if whole else min(row, tensor.nbytes)
    return total


def _from_checkpoint(request: GenerateRequest, board: Board, npu: NpuTarget | None) -> _Source:
    from mcu_sdk.model.load import find_checkpoint
    from mcu_sdk.operators.layouts import layout_for
    from mcu_sdk.recipes.decoder import compile_checkpoint

    checkpoint = find_checkpoint(request.model)
    layout = layout_for(helium=board.core.helium and npu is None)
    options = replace(request.compile_options, npu=npu, weight_layout=layout)
    compiled = compile_checkpoint(checkpoint, options, use_cache=request.use_cache)
    tokenizer = request.tokenizer or checkpoint.folder / "tokenizer.json"
    facts = dict(compiled.facts)
    name = request.name or checkpoint.name
    return _Source(name, compiled.pte, compiled.names, tokenizer, facts, compiled.delegates)


def _from_pte(request: GenerateRequest, path: Path) -> _Source:
    from mcu_sdk.model.folder import check_fetched

    check_fetched(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PteError(
            f"--pte takes a file that ExecuTorch wrote; {path} could not be read: {error.strerror or error}.",
            hint="Check the path.",
        ) from error
    beside = _read_beside(path)
    names = _names_of(beside)
    facts: dict[str, Any] = {}
    delegates: tuple[DelegateArtifact, ...] = ()
    if beside.get("pte_sha256") == hashlib.sha256(data).hexdigest():
        facts = dict(beside.get("facts") or {})
        delegates = _delegates_beside(path, facts)
    return _Source(request.name or path.stem, data, names, request.tokenizer, facts, delegates)


def _read_beside(path: Path) -> dict[str, Any]:
    """The file of ours beside a .pte that says what is in it (module.write_compiled), or a project's names.json."""
    own = path.with_suffix(".names.json")
    try:
        text = (own if own.is_file() else path.parent / "names.json").read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _names_of(beside: dict[str, Any]) -> tuple[str, ...] | None:
    """The module paths of the .pte's instructions."""
    names = beside.get("instructions")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _delegates_beside(path: Path, facts: dict[str, Any]) -> tuple[DelegateArtifact, ...]:
    """The delegates' graphs and estimates; nothing unless all are there."""
    from mcu_sdk.npu.artifact import DelegateArtifact

    count = facts.get("npu_delegates")
    found = []
    for number in range(count if isinstance(count, int) else 0):
        name = f"{path.stem}.delegate_{number}"
        try:
            files = {file: path.with_name(file).read_bytes() for file in DelegateArtifact.file_names(name)}
            found.append(DelegateArtifact.from_files(name, files))
        except (OSError, ValueError, KeyError, TypeError):
            return ()
    return tuple(found)


LONGEST_SEQUENCE = 1 << 20
"""Tokens. The firmware keeps a line of 8 bytes for each, and counts its bytes in int32_t."""


def describe_language_model(plan: Plan) -> LanguageModel | None:
    """What a .pte with the signature and the metadata of ExecuTorch's LLM runner says of itself; None for others.

    Raises PteError if it says that it reads more tokens than its KV cache holds, or than a firmware can count.
    """
    from mcu_sdk.planning.instruction import DType
    from mcu_sdk.project.render import LanguageModel

    metadata = plan.metadata
    inputs = [(tensor.dtype, tensor.shape) for tensor in plan.inputs]
    is_step = inputs == [(DType.S64, (1, 1)), (DType.S64, (1,))] and len(plan.outputs) == 1
    length = metadata.get("get_max_seq_len", metadata.get("get_max_context_len"))
    if not is_step or not isinstance(length, int) or length < 1:
        return None
    logits = plan.outputs[0]
    if logits.dtype is not DType.F32 or len(logits.shape) != 3 or logits.elements != logits.shape[-1]:
        return None
    longest = min(_cached_positions(plan), default=LONGEST_SEQUENCE)
    if length > longest:
        raise PteError(
            f"The .pte says that it reads up to {length} tokens (get_max_seq_len); {longest} are possible.",
            hint="Export it again with metadata that match its KV cache.",
        )
    vocabulary = logits.shape[-1]
    start = _token_ids(metadata.get("get_bos_id"), vocabulary)
    return LanguageModel(
        vocab_size=vocabulary,
        max_sequence_length=length,
        bos_id=start[0] if start else -1,
        eos_ids=_token_ids(metadata.get("get_eos_ids"), vocabulary),
    )


def _cached_positions(plan: Plan) -> list[int]:
    """How many positions each KV cache of our own operators has."""
    from mcu_sdk.planning.instruction import Tensor

    caches = [
        (planned.instruction.arguments[0], 3 if "columns" in planned.instruction.operator else 2)
        for planned in plan.calls
        if planned.instruction.operator.startswith("mcu::cache_write")
    ]
    return [cache.shape[axis] for cache, axis in caches if isinstance(cache, Tensor)]


def _token_ids(value: object, vocabulary: int) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < vocabulary)


def _device_tokenizer(source: Path | None, facts: dict[str, Any]) -> Mapping[str, Any] | None:
    """The tokenizer's tables, or None when there is none or the device cannot run it (`facts` says why)."""
    from mcu_sdk.model.tokenizer import compile_tokenizer

    if source is None:
        return None
    path = source / "tokenizer.json" if source.is_dir() else source
    if not path.is_file():
        facts["tokenizer"] = "none: the firmware takes and prints token ids"
        return None
    compiled = compile_tokenizer(path)
    facts["tokenizer"] = "on the device" if compiled.supported else f"token ids only: {compiled.reason}"
    return compiled.to_template() if compiled.supported else None


def _options(request: GenerateRequest, npu: NpuTarget | None) -> dict[str, str | int | float | bool | None]:
    options = request.compile_options
    return {
        "board": request.board,
        "model": request.model,
        "pte": str(request.pte) if request.pte is not None else None,
        "max_cache_len": options.cache_length,
        "activations": options.activations,
        "kv_scales": options.cache_scales,
        "weights": options.weights,
        "optimize": request.optimize,
        "calibration_text": str(options.calibration_text) if options.calibration_text else None,
        "target": npu.accelerator if npu else request.target,
        "memory_mode": npu.memory_mode if npu else None,
        "activation_bits": npu.activation_bits if npu else None,
    }


def _text(value: object) -> str | None:
    return str(value) if value else None


def regenerate(project: Path, *, use_cache: bool = True) -> Generated:
    """Generate again into `project`, from what its manifest says. Its own model.pte serves where the model was a file.

    Raises UsageError for a folder that is no project of ours, and what `generate` raises.
    """
    from mcu_sdk.project.manifest import read_manifest
    from mcu_sdk.recipes.decoder import CompileOptions

    manifest = read_manifest(project)
    options = manifest.options
    calibration = options.get("calibration_text")
    length = options.get("max_cache_len")
    request = GenerateRequest(
        board=str(options.get("board", manifest.board)),
        compile_options=CompileOptions(
            cache_length=length if isinstance(length, int) else None,
            activations="static" if options.get("activations") == "static" else "dynamic",
            cache_scales="dynamic" if options.get("kv_scales") == "dynamic" else "calibrated",
            calibration_text=Path(str(calibration)) if calibration else None,
            weights="int4" if options.get("weights") == "int4" else "int8",
        ),
        model=str(options["model"]) if options.get("model") else None,
        pte=project / "model" / "model.pte" if options.get("pte") else None,
        output=project,
        name=manifest.name,
        target=_text(options.get("target")),
        memory_mode=_text(options.get("memory_mode")),
        activation_bits=16 if options.get("activation_bits") == 16 else 8,
        use_cache=use_cache,
        optimize="size" if options.get("optimize") == "size" else "speed",
    )
    return generate(request)
