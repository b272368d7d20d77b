"""Texts for a firmware that encodes them (an encoder's): given to it, and what its outputs say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import log
from mcu_sdk.errors import OutputDiffersError, TextError, UsageError
from mcu_sdk.project.accuracy import read_facts
from mcu_sdk.project.heads import Encoded, Encoder, Head
from mcu_sdk.project.labels import Label
from mcu_sdk.project.tensors import ATTEMPTS, Border, Borders, borders_of
from mcu_sdk.targets.protocol import Message, Transcript
from mcu_sdk.targets.texts import TextRequest
from mcu_sdk.targets.transfer import Get, data_of, gets_of
from mcu_sdk.targets.verdict import InputsLostError, check_verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.opened import Project
    from mcu_sdk.project.runners import Device


def check_takes_texts(project: Project) -> None:
    """Raises UsageError for a language model, and for a model of tensors whose firmware has no tokenizer."""
    if project.takes_texts:
        return
    name = project.manifest.name
    if project.is_language_model:
        raise UsageError(
            f"{name} is a language model; --text is for encoders.", hint="Give it --prompt, or --prompts."
        )
    said = read_facts(project.folder / "model").get("tokenizer")
    why = f" (tokenizer: {said})" if isinstance(said, str) else ""
    raise UsageError(
        f"{name} takes tensors, not texts{why}.", hint="Give it --input FILE.npy, or --steps N made-up ones."
    )


@dataclass(frozen=True)
class Asked:
    """A text as it goes to a firmware: `request` has what was given, `sent` no more than the firmware has room for."""

    request: TextRequest
    sent: TextRequest
    encoded: Encoded


@dataclass(frozen=True)
class Reader:
    """All that is known of how a project's model reads texts."""

    borders: Borders
    head: Head
    encoder: Encoder
    padding: int

    @classmethod
    def of(cls, project: Project, encoder: Encoder) -> Reader:
        """From the project's files. `encoder`: the library's side of its tokenizer."""
        facts = read_facts(project.folder / "model")
        texts = facts.get("texts")
        padding = texts.get("padding", 0) if isinstance(texts, dict) else 0
        return cls(borders_of(project), Head.of(facts), encoder, int(padding))

    def ask(self, request: TextRequest, *, for_answer: bool = True) -> Asked:
        """Raises TextError for what cannot be encoded, and, `for_answer`, UsageError for what the task has none to."""
        encoded = self.encoder.encode(request.text, request.pair)
        if for_answer:
            self.head.check(request, encoded, self.encoder)
        text, pair = self.encoder.fitting(request.text, request.pair)
        return Asked(request, TextRequest(text, pair), encoded)

    def ask_each(self, requests: Sequence[TextRequest]) -> list[Asked]:
        """`ask` of each, with its number in errors."""
        found = []
        for number, request in enumerate(requests, start=1):
            with numbered(number, len(requests)):
                found.append(self.ask(request))
        return found

    def arrays(self, asked: Asked) -> tuple[NDArray[Any], ...]:
        """The model's inputs for a text, int64[1, L] each, as the library encodes it."""
        import numpy as np

        found = []
        for border in self.borders.inputs:
            values = {
                "input_ids": (asked.encoded.ids, self.padding),
                "attention_mask": ((1,) * len(asked.encoded.ids), 0),
                "token_type_ids": (asked.encoded.types, 0),
            }
            row, rest = values[border.name]
            array = np.full(border.shape, rest, np.int64)
            array[0, : len(row)] = row
            found.append(array)
        return tuple(found)

    def labels(self, asked: Asked, outputs: dict[str, NDArray[Any]]) -> list[Label]:
        """What the outputs, whole or as they came of a firmware, say of the text."""
        places = self.head.masked(asked.encoded, self.encoder)
        if places:
            outputs = {
                name: rows if rows.shape[0] == len(places) and rows.ndim == 2 else rows[0, places]
                for name, rows in outputs.items()
            }
        return self.head.read(asked.request, asked.encoded, self.encoder, outputs)


@dataclass(frozen=True)
class TextAnswer:
    """What came of a text. `outputs`: by name; of a masked language model the rows of the masks, float32[masks, V], alone.
    `dropped`: tokens that were cut off. `spans`: of a token classifier with one label a word, the
    words that belong together."""

    request: TextRequest
    transcript: Transcript
    labels: tuple[Label, ...]
    outputs: dict[str, NDArray[Any]]
    dropped: int
    spans: tuple[Label, ...] | None = None


@dataclass(frozen=True)
class _Part:
    """Bytes of an output that are asked for."""

    border: Border
    gets: tuple[Get, ...]
    shape: tuple[int, ...]


def ask_texts(
    device: Device, reader: Reader, asked: Sequence[Asked], *, whole: bool = False
) -> list[TextAnswer]:
    """Give a firmware text after text, and take its outputs; with `whole` all of them in any case.

    A board that is reset in the middle begins again. Raises what the device and `check_verdict` raise, with the text's
    number where there are several, and OutputDiffersError where its tokens are not the library's.
    """
    parts = [_parts(reader, each, whole) for each in asked]
    messages: list[Message] = []
    for each, wanted in zip(asked, parts, strict=True):
        messages += [each.sent, *(get for part in wanted for get in part.gets)]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with closing(device.each(messages)) as answers:
                return list(_answers(device.name, reader, asked, parts, answers))
        except InputsLostError:
            if attempt == ATTEMPTS:
                raise
        log(f"  {device.name} lost its inputs; beginning again")
    raise AssertionError("an attempt ends in an answer or an error")


def _parts(reader: Reader, asked: Asked, whole: bool) -> list[_Part]:
    places = [] if whole else reader.head.masked(asked.encoded, reader.encoder)
    found = []
    for number, border in enumerate(reader.borders.outputs):
        if not places:
            found.append(_Part(border, tuple(gets_of(number, 0, border.nbytes)), border.shape))
            continue
        row = border.nbytes // border.shape[1]
        gets = [get for place in places for get in gets_of(number, place * row, (place + 1) * row)]
        found.append(_Part(border, tuple(gets), (len(places), border.shape[2])))
    return found


def _answers(
    name: str,
    reader: Reader,
    asked: Sequence[Asked],
    parts: Sequence[Sequence[_Part]],
    answers: Iterator[Transcript],
) -> Iterator[TextAnswer]:
    import numpy as np

    for number, (each, wanted) in enumerate(zip(asked, parts, strict=True), start=1):
        with numbered(number, len(asked)):
            transcript = check_verdict(next(answers), name)
            check_ids(transcript, each, name)
        outputs = {}
        for part in wanted:
            data = b"".join(data_of(check_verdict(next(answers), name), get.size) for get in part.gets)
            outputs[part.border.name] = (
                part.border.from_bytes(data)
                if part.shape == part.border.shape
                else np.frombuffer(data, part.border.dtype).reshape(part.shape)
            )
        labels = tuple(reader.labels(each, outputs))
        spans = reader.head.spans(each.request, each.encoded, labels)
        dropped = each.encoded.dropped
        yield TextAnswer(
            each.request, transcript, labels, outputs, dropped, None if spans is None else tuple(spans)
        )


@contextmanager
def numbered(number: int, count: int) -> Iterator[None]:
    """Names the text, of several, that an error is about."""
    try:
        yield
    except (UsageError, TextError) as error:
        if count == 1:
            raise
        raise type(error)(f"Text {number} of {count}: {error.message}", hint=error.hint) from error


def check_ids(transcript: Transcript, asked: Asked, name: str) -> None:
    """Raises OutputDiffersError where a firmware's tokens are not those of the `tokenizers` library."""
    if transcript.prompt_ids != asked.encoded.ids:
        raise OutputDiffersError(
            f"{name} encodes the text {asked.request.text[:60]!r} as {_short(transcript.prompt_ids)}; the tokenizers "
            f"library as {_short(asked.encoded.ids)}.",
            hint="Build and flash the project again; model/tokenizer.json has to be the one that it was generated from.",
        )


def _short(ids: Iterable[int], most: int = 12) -> str:
    shown = [str(number) for number in ids]
    return ",".join(shown[:most]) + (",..." if len(shown) > most else "")
