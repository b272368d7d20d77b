"""What a .pte says of the language model in it, by the signature and the metadata of ExecuTorch's LLM runner."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.errors import PteError
from mcu_sdk.planning.instruction import DType, Space, Tensor
from mcu_sdk.planning.plan import Plan

LONGEST_SEQUENCE = 1 << 20
"""Tokens. The firmware keeps a line of 8 bytes for each, and counts its bytes in int32_t."""

LAPS = 4
"""Caches full of tokens that the firmware has room for, 4 bytes each, where a text goes on beyond the cache."""


PAD = "get_pad_id"
"""The constant method that says what fills up an encoder's tokens."""


SUPPRESSED, FIRST_SUPPRESSED = "get_suppressed_ids", "get_first_suppressed_ids"
"""Those that say which tokens are never chosen, and which not as the first."""


@dataclass(frozen=True)
class EncoderSide:
    """Of a decoder that attends to an encoder: `start_ids`, the tokens that every answer begins behind. `length`: the tokens
    that the encoder reads, filled up with `pad_id`; 0 of one that takes `tensors` (0: none) instead, of which the one at
    `mask_input` says which of its rows count (-1: all do)."""

    start_ids: tuple[int, ...]
    length: int = 0
    pad_id: int = 0
    tensors: int = 0
    mask_input: int = -1


@dataclass(frozen=True)
class LanguageModel:
    """What the firmware has to know of a language model. Ids are token ids; -1: none. `prefill_rows`: the tokens of a prompt
    that its method prefill reads at once; 0 without one. `rewind_length`: of so many tokens that it has read it can forget
    the last ones; of more, only all, since its caches have written over some, or it keeps something else. `sinks`: positions
    that a KV cache which slides when it is full keeps from the beginning; -1 for one that does not. `encoder`: what it
    attends to, of one whose answer is about what another method takes first. `suppressed`: what is never chosen, and
    `first_suppressed`: not as an answer's first token."""

    vocab_size: int
    max_sequence_length: int
    bos_id: int = -1
    eos_ids: tuple[int, ...] = ()
    prefill_rows: int = 0
    rewind_length: int = 0
    sinks: int = -1
    encoder: EncoderSide | None = None
    suppressed: tuple[int, ...] = ()
    first_suppressed: tuple[int, ...] = ()

    @property
    def max_text_tokens(self) -> int:
        """Of a prompt and its answer: as many as the cache has positions or, where it slides, LAPS times as many."""
        return self.max_sequence_length * (1 if self.sinks < 0 else LAPS)


def describe_language_model(plan: Plan) -> LanguageModel | None:
    """What a .pte with the signature and the metadata of ExecuTorch's LLM runner says of itself; None for others.

    Raises PteError if it says that it reads more tokens than its KV cache holds, or than a firmware can count.
    """
    metadata = plan.metadata
    inputs = [(tensor.dtype, tensor.shape) for tensor in plan.inputs]
    wanted = [(DType.S64, (1, 1)), (DType.S64, (1,))]
    masked = plan.encoder is not None and inputs == [*wanted, (DType.S64, (1,))]
    is_step = (inputs == wanted or masked) and len(plan.outputs) == 1
    length = metadata.get("get_max_seq_len", metadata.get("get_max_context_len"))
    if not is_step or not isinstance(length, int) or length < 1 or not _are_logits(plan.outputs[0]):
        if plan.beside:
            name = "prefill" if plan.prefill is not None else "encoder"
            more = "[, the encoder's last row int64[1]]" if plan.encoder is not None else ""
            raise PteError(
                f"The .pte has a method {name}, but its forward is no step of a language model (a token id int64[1, 1], its "
                f"position int64[1]{more}, logits float32[1, 1, V] and get_max_seq_len).",
                hint="Export forward alone, or both as ExecuTorch's LLM runner takes them.",
            )
        return None
    logits = plan.outputs[0]
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
        prefill_rows=_prefill_rows(plan, length),
        rewind_length=min(length, _rewind_length(plan)),
        sinks=_sinks(plan, metadata.get("get_attention_sinks"), length),
        encoder=_encoder_side(plan, vocabulary, length, masked=masked),
        suppressed=_suppressed(metadata.get(SUPPRESSED), vocabulary),
        first_suppressed=_suppressed(metadata.get(FIRST_SUPPRESSED), vocabulary),
    )


def _suppressed(stated: object, vocabulary: int) -> tuple[int, ...]:
    """Raises PteError where nothing is left to choose."""
    found = tuple(dict.fromkeys(_token_ids(stated, vocabulary)))
    if len(found) == vocabulary:
        raise PteError(
            "The .pte says that no token may be chosen.", hint="Export it again with fewer suppressed tokens."
        )
    return found


def _encoder_side(plan: Plan, vocabulary: int, length: int, *, masked: bool) -> EncoderSide | None:
    """`masked`: whether the step is told which of the encoder's rows is the last that counts: where its second of two
    inputs of tokens, or the last of others, is their mask. Raises PteError where there is none, or where the .pte does not
    say what the decoder begins with."""
    if plan.encoder is None:
        return None
    start = _token_ids(plan.metadata.get("get_decoder_start_ids"), vocabulary)
    inputs = [(tensor.dtype, tensor.shape) for tensor in plan.encoder.inputs]
    rows = inputs[-1][1][-1] if inputs and inputs[-1][1] else 0
    if not inputs or (masked and inputs[-1] != (DType.S64, (1, rows))):
        raise PteError(
            f"A method encoder whose last input is the mask of the rows that count, int64[1, L], was expected; it takes "
            f"{inputs}.",
            hint="Export forward alone.",
        )
    if not 0 < len(start) < length or plan.prefill is not None:
        raise PteError(
            f"Beside a method encoder, the tokens that the decoder begins with were expected (get_decoder_start_ids, fewer "
            f"than {length}), and no prefill; found are {str(plan.metadata.get('get_decoder_start_ids'))[:60]}.",
            hint="Export it again with them as a constant method.",
        )
    padding = _token_ids(plan.metadata.get(PAD), vocabulary)
    if masked and inputs == [inputs[-1]] * 2:
        return EncoderSide(start, rows, padding[0] if padding else 0)
    return EncoderSide(start, tensors=len(inputs), mask_input=len(inputs) - 1 if masked else -1)


def _are_logits(tensor: Tensor) -> bool:
    return tensor.dtype is DType.F32 and len(tensor.shape) == 3 and tensor.elements == tensor.shape[-1]


def _prefill_rows(plan: Plan, length: int) -> int:
    """The tokens of a chunk; 0 without a prefill. Raises PteError for a method of that name that is none."""
    if plan.prefill is None:
        return 0
    inputs = [(tensor.dtype, tensor.shape) for tensor in plan.prefill.inputs]
    outputs = [(tensor.dtype, tensor.elements) for tensor in plan.prefill.outputs]
    rows = inputs[0][1][-1] if inputs and inputs[0][1] else 0
    is_chunk = inputs == [(DType.S64, (1, rows)), (DType.S64, (rows,))]
    if not is_chunk or outputs != [(DType.F32, plan.outputs[0].elements)] or not 1 < rows <= length:
        raise PteError(
            f"A prefill that takes N token ids int64[1, N] and their positions int64[N], 2 to {length} of them, and gives "
            f"the last one's logits was expected; it takes {inputs} and gives {outputs}.",
            hint="Export it again, or forward alone.",
        )
    return rows


def _sinks(plan: Plan, stated: object, length: int) -> int:
    """How many positions stay in a cache that slides; -1 where that is not stated. Raises PteError where it is, and the
    position decides something else than the slots of caches of at most `length`."""
    if stated is None:
        return -1
    found: set[tuple[object, object]] = set()
    position = plan.inputs[1]
    for planned in plan.calls:
        instruction = planned.instruction
        row = instruction.row
        name = row.name if row is not None else instruction.operator
        for index, argument in enumerate(instruction.arguments):
            if not isinstance(argument, Tensor) or not argument.overlaps(position):
                continue
            if argument in planned.writes:
                continue
            if name == "mcu::ring_slot":
                found.add((instruction.arguments[1], instruction.arguments[2]))
            elif name not in _BY_POSITION or row is None or index != row.position("position"):
                raise PteError(
                    f"The .pte says that its caches slide (get_attention_sinks); {name} reads the position itself.",
                    hint="Export it again without, or with caches that do.",
                )
        if any(written.overlaps(position) for written in planned.writes):
            break  # its memory is something else's from here on
    short = all(
        sinks == 0 and isinstance(ring, int) and ring < length for sinks, ring in found - {(stated, length)}
    )
    if not found or not short or not isinstance(stated, int) or not 0 <= stated < length:
        raise PteError(
            f"The .pte says that its caches slide and keep {stated} first positions (get_attention_sinks); it has caches of "
            f"(sinks, positions) {sorted(found, key=str)}.",
            hint="Export it again with metadata that match its KV cache.",
        )
    return stated


_BY_POSITION = (
    "mcu::rope",
    "mcu::rope_pairs",
    "mcu::attention_s8_sliding",
    "mcu::attention_s8_dynamic_sliding",
)
"""Operators that may read the position of a cache that slides: a rotation stays at the last row of its table."""


def _cached_positions(plan: Plan) -> list[int]:
    """How many positions each KV cache of our own operators has, of those that keep every position.

    A layer with a window writes to a row that it looks up; its cache is written over and over.
    """
    found = []
    for planned in plan.calls:
        row, arguments = planned.instruction.row, planned.instruction.arguments
        if row is None or not row.index:
            continue
        position = arguments[row.position(row.index)]
        if not isinstance(position, Tensor) or not position.same_memory(plan.inputs[1]):
            continue
        for name, axis in row.caches.items():
            cache = arguments[row.position(name)]
            if isinstance(cache, Tensor):
                found.append(cache.shape[axis])
    return found


def _rewind_length(plan: Plan) -> int:
    """Positions of the shortest cache, windows' among them: until it is full it has written over nothing. 0 where something
    is kept from step to step that is no cache of our operators: what it was some tokens ago is not known."""
    caches: dict[int, int] = {}
    kept: set[int] = set()
    for planned in plan.all_calls:
        row, arguments = planned.instruction.row, planned.instruction.arguments
        tensors = [each for one in arguments for each in (one if isinstance(one, (list, tuple)) else [one])]
        kept |= {t.offset for t in tensors if isinstance(t, Tensor) and t.space is Space.KV_CACHE}
        for name, axis in row.caches.items() if row is not None else ():
            cache = arguments[row.position(name)] if row is not None else None
            if isinstance(cache, Tensor):
                caches[cache.offset] = cache.shape[axis]
    return 0 if kept - caches.keys() else min(caches.values(), default=0)


def _token_ids(value: object, vocabulary: int) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < vocabulary)
