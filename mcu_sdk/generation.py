"""A checkpoint or a .pte, and a board -> a firmware project: what `mcu-sdk generate` does.

request -> recipe -> plan -> fit -> project
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.board.core import check_core
from mcu_sdk.board.npu_target import NpuTarget, StepForm
from mcu_sdk.board.target import choose_target
from mcu_sdk.choice import first_that_fits, is_open
from mcu_sdk.console import step
from mcu_sdk.device_texts import (
    Texts,
    chat_of,
    check_grammar,
    check_stops_are_written,
    chooser_notes,
    folders_of_tokenizer,
    grammar_tables,
    prompt_notes,
    read_chat_template,
    stop_texts,
    tokenizer_tables,
)
from mcu_sdk.errors import DoesNotFitError, UsageError
from mcu_sdk.generated import Generated
from mcu_sdk.inputs import identify
from mcu_sdk.model.chat.files import CHAT_CONFIG, ChatFiles
from mcu_sdk.model.folder import check_fetched, read_config
from mcu_sdk.model.grammar.files import read_grammar
from mcu_sdk.model.load import Checkpoint, find_checkpoint
from mcu_sdk.model.special_tokens import vocabulary_of
from mcu_sdk.model.stored import read_stored
from mcu_sdk.model.tokenizer import (
    check_given,
    check_tokenizer,
    tokenizer_file,
)
from mcu_sdk.operators.layouts import layout_for
from mcu_sdk.options import CompileOptions, GenerateRequest, Kind, no_npu_executorch, no_npu_library
from mcu_sdk.planning.bound import step_bound
from mcu_sdk.planning.delegates import check_delegates
from mcu_sdk.planning.experts import experts_of
from mcu_sdk.planning.fit import Layout, Sizes, image_bytes
from mcu_sdk.planning.fpu import check_checkpoint, check_integers_only
from mcu_sdk.planning.language_model import LanguageModel, describe_language_model
from mcu_sdk.planning.plan import Plan, compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.planning.step_choice import StepChoice, fewest_cycles
from mcu_sdk.planning.step_cycles import StepCycles, step_cycles
from mcu_sdk.planning.text_model import TextModel, describe_text_model
from mcu_sdk.planning.weight_layout import layout_notes, layout_of, weight_notes
from mcu_sdk.planning.where import where
from mcu_sdk.project.destination import check_format, check_kept_app, check_output
from mcu_sdk.project.edited import KEPT, check_edited
from mcu_sdk.project.executorch import STACK_BYTES, executorch_of
from mcu_sdk.project.fitting import Choices, Fitted, fit_project
from mcu_sdk.project.forecast import Forecast, check_forecast
from mcu_sdk.project.library import Library, check_name
from mcu_sdk.project.manifest import GRAMMARS, TOKENIZER
from mcu_sdk.project.names import slug
from mcu_sdk.project.npu_details import NpuDetails, describe_npu, details_files
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.project.stored_chat import stored_cache
from mcu_sdk.recipes.compiled import ETRECORD, names_json, read_compiled
from mcu_sdk.saving import TooLargeError, first_that_saves_enough

if TYPE_CHECKING:
    from mcu_sdk.npu.artifact import DelegateArtifact


@dataclass(frozen=True)
class _Source:
    """A model on its way into a project, wherever it came from."""

    name: str
    pte: bytes
    names: tuple[str, ...] | None
    tokenizer: Path | None
    facts: dict[str, Any]
    delegates: tuple[DelegateArtifact, ...] = ()
    chat: ChatFiles | str | None = None
    etrecord: bytes = b""
    planned: tuple[Pte, Plan] | None = None
    """What `_planned` gives, once it has been asked: a form that was estimated is the one that is written."""


@dataclass(frozen=True)
class _Compilation:
    """A checkpoint on its way to a .pte, and what is the same for every form that a decoder's step can have beside `npu`."""

    request: GenerateRequest
    checkpoint: Checkpoint
    board: Board
    npu: NpuTarget | None

    @cached_property
    def texts(self) -> tuple[Path, ChatFiles | str | None]:
        """The tokenizer and the chat template, or why that cannot be followed, with all that is against them before anything
        is compiled. Raises ModelError, TextError and UsageError."""
        request, folder = self.request, self.checkpoint.folder
        vocabulary = vocabulary_of(read_config(folder))
        if request.tokenizer is not None and vocabulary is None:
            _check_reads_text(request, self.checkpoint.name, None, None)
        tokenizer = request.tokenizer or folder / "tokenizer.json"
        check_tokenizer(tokenizer, vocabulary)
        check_stops_are_written(request, tokenizer)
        return tokenizer, read_chat_template(request, [*folders_of_tokenizer(request), folder], tokenizer)

    def source(self, step: StepForm = "npu") -> _Source:
        """What becomes of it; `step`: where that of a decoder runs beside the NPU."""
        from mcu_sdk.recipes.checkpoint import compile_checkpoint

        request, checkpoint = self.request, self.checkpoint
        npu = self.npu if _needs_npu(request, step) else None
        options = replace(request.compile_options, npu=npu, step=step)
        layout = layout_for(helium=self.board.core.helium and options.step_on_processor)
        options = replace(options, weight_layout=layout)
        if npu is None:
            _check_forecast(self.board, checkpoint, options)
            options = replace(options, step="npu")  # there is nothing beside it
        tokenizer, chat = self.texts
        compiled = compile_checkpoint(checkpoint, options, use_cache=request.use_cache)
        facts = {
            **compiled.facts,
            "checkpoint": checkpoint.fingerprint(),
            "notes": [*checkpoint.notes, *compiled.facts.get("notes", ())],
        }
        return _Source(
            *(request.name or checkpoint.name, compiled.pte, compiled.names, tokenizer),
            *(facts, compiled.delegates, chat, compiled.etrecord),
        )


def generate(request: GenerateRequest) -> Generated:
    """Write the project and return what it is. Nothing is left behind when anything is refused.

    Where nothing but a board is asked for, the bundled model, its cache and its weights are chosen to fit it.

    Raises BoardError, ModelError, PteError, TextError, UsageError and DoesNotFitError.
    """
    if request.compile_options.weights == "auto":
        return first_that_saves_enough(request, _generate)
    if not is_open(request):
        return _generate(request)
    return first_that_fits(request, lambda choice: replace(_generate(choice.request), chosen=choice.says))


def _generate(request: GenerateRequest) -> Generated:
    """One request, as it is."""
    board = load_board(request.board)
    check_core(board)
    npu = choose_target(
        board, request.target, memory_mode=request.memory_mode, activation_bits=request.activation_bits
    )
    request.check(npu)
    if request.pte_partition is not None and board.is_host:
        raise UsageError(
            "--pte-partition is a part of a board's flash, and a host has none.",
            hint="Leave --pte-partition out.",
        )
    if request.pte is None:
        check_checkpoint(board)
    if request.output is not None:
        check_output(request.output)
        check_format(request.output, request.format)
        check_edited(request.output, force=request.force)
    if request.tokenizer is not None:
        check_given(request.tokenizer)
    if request.name is not None:
        _check_library(request, request.name)
    checkpoint, source = None, None
    with step("Reading the inputs"):
        if request.pte is not None:
            source = _from_pte(request)
        else:
            checkpoint = find_checkpoint(request.model, use_cache=request.use_cache)
        automaton = read_grammar(request.grammar, request.json_schema)
        sources = identify(request, board, checkpoint).expect(request.expected)
    choice = None
    if checkpoint is not None:
        _check_kind_of(request, checkpoint, npu)
        request.check_flash(on_host=board.is_host)
        if automaton is not None:
            check_grammar(request, checkpoint, automaton)
        source, npu, choice = _decided(_Compilation(request, checkpoint, board, npu))
    assert source is not None
    library = "-library" if request.format == "library" else ""
    destination = request.output or Path(f"{slug(source.name)}-{board.name}{library}")
    check_output(destination)
    check_format(destination, request.format)
    _check_library(request, source.name)
    edited = check_edited(destination, force=request.force)
    edited += chooser_notes(destination) if automaton is not None else []
    edited += prompt_notes(destination) if request.compile_options.prefill is not None else []
    with step("Compiling the plan"):
        pte, plan = source.planned or _planned(source)
        check_integers_only(plan.all_calls, board)
        npu = check_delegates(pte, board, npu, chosen=request.target)
        language_model = describe_language_model(plan)
        text_model = None if language_model is not None else describe_text_model(plan, source.facts)
    if request.format == "library" and npu is not None:
        raise no_npu_library(npu)
    if request.runtime == "executorch" and npu is not None:
        raise no_npu_executorch(npu)
    official = executorch_of(source.pte, pte) if request.runtime == "executorch" else None
    kind = _kind(request, language_model, text_model, npu)
    if choice is not None:
        kind |= Kind.DECODER_NPU
    elif kind is Kind.DECODER_NPU and npu is not None and language_model is not None:
        choice = _estimated(plan, board, npu, language_model)
    request.check_kind(kind)
    _check_reads_text(request, source.name, language_model, text_model)
    check_kept_app(destination, language_model=language_model is not None)
    if npu is not None:
        board = board.with_npu_memory()
    if official is not None:
        board = board.with_stack(STACK_BYTES)
    if official is not None and request.pte_partition is not None:
        board = board.with_partition(request.pte_partition)
        official = replace(official, partition_crc=crc32(source.pte))
    details = None if npu is None else describe_npu(pte, plan, source.facts, source.delegates, npu)
    facts = _facts(request, board, pte, source) | _prefill_facts(plan, language_model, source, details)
    facts |= _encoder_facts(pte, plan, source)
    if choice is not None:
        facts["decode"] = choice.to_json()
    if official is not None:
        facts["executorch"] = official.to_json()
    with step("Packing the tokenizer"):
        tables, told = tokenizer_tables(source.tokenizer, source.facts, language_model, text_model)
    facts |= {**told, "notes": [*facts["notes"], *told.get("notes", ())]}
    grammar = grammar_tables(automaton, source.tokenizer, language_model)
    if grammar is not None:
        facts["grammar"] = {key: grammar[key] for key in ("states", "bytes", "shortest")}
    files = _model_files(source, facts, details)
    files |= {
        name: path.read_bytes()
        for option, name in GRAMMARS.items()
        if isinstance(path := getattr(request, option), Path)
    }
    chat = chat_of(request, source.chat, language_model, tables)
    if isinstance(chat, ChatFiles):
        files[CHAT_CONFIG] = chat.config
        facts["chat"] = chat.facts
    elif chat is not None:
        facts["notes"] = [*facts["notes"], f"No conversations: {chat}."]
    is_kept = tables is not None or (language_model is not None and request.tokenizer is not None)
    if source.tokenizer is not None and is_kept:
        files[TOKENIZER] = tokenizer_file(source.tokenizer).read_bytes()
    inputs = ProjectInputs(
        name=source.name,
        board=board,
        layout=Layout(),
        plan=plan,
        npu=npu,
        pte=source.pte,
        language_model=language_model,
        text_model=text_model if tables is not None and isinstance(text_model, TextModel) else None,
        tokenizer=tables,
        grammar=grammar,
        stops=stop_texts(request, tables),
        chat=chat.chat.to_template() if isinstance(chat, ChatFiles) else None,
        files=files,
        options=request.to_manifest(kind, source.name),
        inputs=sources.found,
        places=sources.places,
        profile=request.profile,
        optimize=request.optimize,
        format=request.format,
        executorch=official,
    )
    if request.store_system_cache and npu is not None:
        raise UsageError(
            f"--store-system-cache is for models on the processor; {npu.accelerator} is the target.",
            hint="Leave it out, or take --target with the board's processor.",
        )
    if request.store_system_cache and isinstance(chat, ChatFiles):
        with step("Computing the cache of what conversations begin with"):
            stored = stored_cache(inputs, chat.opening())
        inputs = replace(inputs, chat=chat.chat.to_template(stored.to_template()))
        facts["chat"] |= {"stored_tokens": stored.tokens, "stored_bytes": stored.bytes}
    with step("Fitting it into the board's memories"):
        choices = Choices(
            length=language_model.max_sequence_length if language_model else None,
            int4=request.pte is None
            and npu is None
            and (request.compile_options.weights, request.compile_options.operators) == ("int8", "mcu"),
            checkpoint=request.pte is None,
        )
        fitted = _fit(request, inputs, plan, choices, facts, destination / KEPT)
    experts = experts_of(plan)
    if experts is not None:
        facts["experts"] = experts.to_json()
    bound = step_bound(board, plan, fitted.layout, choices.length)
    if bound is not None:
        facts["bound"] = bound.to_json()
    if request.format == "firmware":  # a library lies where its program puts it
        facts["where"] = where(plan, fitted.layout, fitted.sizes)
    files |= _report_file(facts)
    with step(f"Writing the project to {destination}"):
        inputs = replace(inputs, layout=fitted.layout, shared_layout=fitted.shared_layout, files=files)
        inputs = replace(inputs, library_stack=fitted.stack)
        project = render_project(inputs, destination, force=request.force)
    facts = {**facts, "notes": [*facts["notes"], *edited]}
    return Generated(project, source.name, plan, fitted.layout, facts, fitted.sizes)


def _fit(
    request: GenerateRequest,
    inputs: ProjectInputs,
    plan: Plan,
    choices: Choices,
    facts: dict[str, Any],
    app: Path,
) -> Fitted:
    """Where everything lies, also within --flash. Raises DoesNotFitError; of weights that are chosen to fit,
    TooLargeError."""
    weights = facts.get("weight_bits")
    if request.compile_options.weights != "auto" or weights is None:
        return fit_project(inputs, plan, choices, app=app, keep=request.use_cache)
    choices = replace(choices, advised=weights["everything"])
    try:
        fitted = fit_project(inputs, plan, choices, app=app, keep=request.use_cache)
        sizes = fitted.sizes if fitted.layout.regions else Sizes(code=0, bss=0, weights=plan.model_bytes)
        image = image_bytes(inputs.board, sizes, fitted.layout)
        few = "the fewest levels" if "levels" in weights else "int4"
        _check_flash(request.flash, image, sizes, few if weights["everything"] else None)
    except DoesNotFitError as error:
        raise TooLargeError(error, weights) from error
    facts["weight_bits"] = {**weights, "flash": request.flash, "image_bytes": image}
    return fitted


def _check_flash(flash: int | None, image: int, sizes: Sizes, smallest: str | None) -> None:
    """Raises DoesNotFitError for an image that is larger than what was given. `smallest`: the weights that make none smaller;
    None for an image that can be."""
    if flash is None or image <= flash:
        return
    parts = {"weights": sizes.weights, "code": sizes.code, "tokenizer": sizes.tokenizer}
    told = ", ".join(f"{name} {size:,}" for name, size in parts.items() if size)
    which = f"the smallest possible, with {smallest} wherever it can be," if smallest else "this one"
    raise DoesNotFitError(
        f"An image of at most {flash:,} bytes was expected (--flash); {which} has {image:,} bytes ({told}).",
        hint=f"Give --flash {image} at least, or take a smaller model.",
        over=image - flash,
    )


def _check_library(request: GenerateRequest, name: str) -> None:
    """Raises UsageError for a library whose names are taken already."""
    if request.format == "library":
        check_name(Library.of(slug(name), request.optimize, is_language_model=True, has_tokenizer=True))


def _kind(
    request: GenerateRequest, language_model: LanguageModel | None, texts: Texts, npu: NpuTarget | None
) -> Kind:
    """What was compiled, as the options see it."""
    if request.pte is not None:
        if language_model is not None:
            return Kind.PTE_TOKENS
        return Kind.PTE_TENSORS if texts is None else Kind.PTE_TEXTS
    if language_model is None:
        return Kind.ENCODER if npu is None else Kind.ENCODER_NPU
    if language_model.encoder is not None:
        return Kind.ENCODER_DECODER
    return Kind.DECODER if npu is None else Kind.DECODER_NPU


def _check_reads_text(
    request: GenerateRequest, name: str, language_model: LanguageModel | None, texts: Texts
) -> None:
    """Raises UsageError for a tokenizer that was named for a model whose firmware can take no text."""
    if request.tokenizer is None or language_model is not None or isinstance(texts, TextModel):
        return
    why = texts or "it takes tensors that are no texts"
    raise UsageError(f"--tokenizer is for models that read texts; of {name}, {why}.", hint="Leave it out.")


def _decided(compilation: _Compilation) -> tuple[_Source, NpuTarget | None, StepChoice | None]:
    """The model for the processor or the NPU; of a decoder beside an NPU, unless it was asked for there, by --decode: with the
    choice, and without the NPU where its step needs none."""
    request, board, npu = compilation.request, compilation.board, compilation.npu
    asked = request.decode_asked(npu)
    if npu is None or asked is None or asked == "npu":
        return compilation.source(), npu, None
    if _kind_of(compilation.checkpoint, npu) is not Kind.DECODER_NPU:
        return compilation.source(), npu, None
    if asked == "auto" and board.is_host:
        raise UsageError(
            f"--decode auto compares cycles by what a board's file says; {board.name} says nothing of its processor's.",
            hint="Take --decode cpu or npu, or the board that the model is for.",
        )
    npu.check()
    target, position = npu, 0

    def attempt(form: StepForm) -> tuple[_Source, StepCycles | None]:
        nonlocal position
        source = compilation.source(form)
        with step("Estimating what a token takes"):
            pte, plan = _planned(source)
            language_model = describe_language_model(plan)
            assert language_model is not None, "the recipes of decoders make them"
            position = _middle(language_model)
            return replace(source, planned=(pte, plan)), step_cycles(plan, board, target, position)

    estimates: dict[StepForm, StepCycles | None] = {}
    left_out: dict[StepForm, str] = {}
    if asked == "auto":
        form, source, estimates, left_out = fewest_cycles(attempt, request.decode_left_out())
    else:
        form = asked
        source, estimates[form] = attempt(form)
    choice = StepChoice(form, asked, target.accelerator, position, estimates, left_out)
    return source, target if _needs_npu(request, form) else None, choice


def _planned(source: _Source) -> tuple[Pte, Plan]:
    """Raises PteError."""
    pte = read_pte(source.pte, source.names)
    return pte, compile_plan(pte)


def _needs_npu(request: GenerateRequest, form: StepForm) -> bool:
    """Whether anything of a decoder runs on the NPU: its step, or its prompts."""
    return form != "cpu" or request.compile_options.prefill is not None


def _estimated(plan: Plan, board: Board, npu: NpuTarget, language_model: LanguageModel) -> StepChoice:
    """What is known of a step that was asked for on the NPU, or of that of the processor beside prompts there."""
    position = _middle(language_model)
    form: StepForm = "npu" if plan.prefill is None else "cpu"
    return StepChoice(form, form, npu.accelerator, position, {form: step_cycles(plan, board, npu, position)})


def _middle(language_model: LanguageModel) -> int:
    """The position that a token is estimated at: what it attends to grows with it."""
    return language_model.max_sequence_length // 2


def _check_kind_of(request: GenerateRequest, checkpoint: Checkpoint, npu: NpuTarget | None) -> None:
    """Raises UsageError, before anything is compiled, for an option that makes no difference to what it is, and for a
    project whose app/ is of another kind of model. What the checkpoint is takes a second to tell, and is rarely asked."""
    kinds = [Kind.DECODER, Kind.ENCODER, Kind.ENCODER_DECODER]
    if npu is not None:
        kinds = [request.decoder_kinds(npu), Kind.ENCODER_NPU]
    refused: dict[Kind, UsageError] = {}
    for kind in kinds:
        try:
            request.check_kind(kind)
            if npu is not None and kind is Kind.ENCODER_NPU:
                request.check_on_npu(npu)
        except UsageError as error:
            refused[kind] = error
    if refused:
        found = _kind_of(checkpoint, npu)
        if (refusal := next((refused[kind] for kind in refused if found & kind), None)) is not None:
            raise refusal
    if request.output is None or request.decode_asked(npu) == "npu":
        return
    try:
        check_kept_app(request.output, language_model=True)
    except UsageError:
        if _kind_of(checkpoint, npu) not in (Kind.ENCODER, Kind.ENCODER_NPU):
            raise


def _kind_of(checkpoint: Checkpoint, npu: NpuTarget | None) -> Kind:
    """What its configuration says it is; on an NPU an encoder-decoder is taken for an encoder, whose recipe refuses it."""
    from mcu_sdk.model.encoder_decoder import pair_architecture

    if npu is not None:
        return Kind.ENCODER_NPU if _is_encoder(checkpoint) else Kind.DECODER_NPU
    if pair_architecture(checkpoint) is not None:
        return Kind.ENCODER_DECODER
    return Kind.ENCODER if _is_encoder(checkpoint) else Kind.DECODER


def _is_encoder(checkpoint: Checkpoint) -> bool:
    from mcu_sdk.model.encoder import encoder_architecture

    return encoder_architecture(checkpoint) is not None


def _from_pte(request: GenerateRequest) -> _Source:
    assert request.pte is not None
    path = request.pte
    check_fetched(path)
    found = read_compiled(path)
    name = request.name or path.stem
    chat = read_chat_template(request, folders_of_tokenizer(request), request.tokenizer)
    return _Source(name, found.pte, found.names, request.tokenizer, found.facts, found.delegates, chat)


def _facts(request: GenerateRequest, board: Board, pte: Pte, source: _Source) -> dict[str, Any]:
    """What the recipe said of the model, what there is to note, and how its weights lie."""
    notes = [*source.facts.get("notes", ()), *pte.notes, *weight_notes(source.facts)]
    if request.pte is not None:
        notes += layout_notes(pte.instructions, helium=board.core.helium)
    return {**source.facts, "notes": notes, "weight_layout": layout_of(pte.instructions)}


def _prefill_facts(
    plan: Plan, language_model: LanguageModel | None, source: _Source, details: NpuDetails | None
) -> dict[str, Any]:
    """What a chunk of a prompt takes, of an NPU by estimate, and what it was compared on, where that is known."""
    if plan.prefill is None or language_model is None:
        return {}
    known = source.facts.get("prefill")
    arenas = {"arena_bytes": plan.prefill.own_arena_bytes, "step_arena_bytes": plan.own_arena_bytes}
    compared = (
        {name: value for name, value in known.items() if name != "npu"} if isinstance(known, dict) else {}
    )
    if details is not None and details.prefill is not None:
        compared["npu"] = details.prefill.per_token()
    return {"prefill": {**compared, "rows": language_model.prefill_rows, **arenas}}


def _encoder_facts(pte: Pte, plan: Plan, source: _Source) -> dict[str, Any]:
    """What the encoder of a decoder takes: of the arena, and for what every step attends to."""
    if pte.encoder is None or plan.encoder is None:
        return {}
    known = source.facts.get("encoder")
    caches = sum(buffer.tensor.nbytes for buffer in pte.encoder.mutable_buffers)
    told = {
        "arena_bytes": plan.encoder.own_arena_bytes,
        "step_arena_bytes": plan.own_arena_bytes,
        "cross_cache_bytes": caches,
    }
    return {"encoder": {**(known if isinstance(known, dict) else {}), **told}}


def _check_forecast(board: Board, checkpoint: Checkpoint, options: CompileOptions) -> None:
    """Raises DoesNotFitError where the headers of the checkpoint's files say so already."""
    config = read_config(checkpoint.folder)
    if (
        config.get("is_encoder_decoder")  # two halves with layers of different numbers and caches
        or "text_config" in config
        or "vision_config" in config
        or not any(checkpoint.folder.glob("*.safetensors"))
    ):
        return  # a part of the weights is for pictures, or they are in another format
    stored = read_stored(checkpoint.folder, checkpoint.name)
    shapes = {name: tensor.shape for name, tensor in stored.tensors.items()}
    check_forecast(board, Forecast(shapes, config, options.cache_length, options.weights != "int8"))


def _model_files(source: _Source, facts: dict[str, Any], details: NpuDetails | None) -> dict[str, bytes]:
    """The files of model/ beside the .pte, by name."""
    files = _report_file(facts)
    for number, delegate in enumerate(source.delegates):
        files |= replace(delegate, name=f"delegate_{number}").files()
    if details is not None:
        files |= details_files(details)
    if source.names is not None:
        files["names.json"] = names_json(source.pte, source.names, source.facts).encode()
    if source.etrecord:
        files[f"model{ETRECORD}"] = source.etrecord
    return files


def _report_file(facts: dict[str, Any]) -> dict[str, bytes]:
    """model/report.json."""
    return {"report.json": (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode()}
