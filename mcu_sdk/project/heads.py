"""What an encoder's outputs say of a text, by the task that its checkpoint is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mcu_sdk.errors import UsageError
from mcu_sdk.project.labels import Label, Labels, labels_in
from mcu_sdk.project.token_labels import Word, read_words, spans_in, words_of
from mcu_sdk.targets.texts import TextRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 5
"""Tokens that are told for each masked one."""

TOKENS = "token-classification"

LONGEST_ANSWER = 15
"""Tokens of an answer, as in transformers' own pipeline."""


class Encoded(Protocol):
    """A text as the `tokenizers` library reads it (mcu_sdk.model.text_encoder.EncodedText)."""

    @property
    def ids(self) -> tuple[int, ...]: ...
    @property
    def types(self) -> tuple[int, ...]: ...
    @property
    def dropped(self) -> int: ...
    @property
    def spans(self) -> tuple[tuple[int, int, int] | None, ...]: ...
    @property
    def words(self) -> tuple[int | None, ...]: ...


class Encoder(Protocol):
    """The library's side of the device's tokenizer (mcu_sdk.model.text_encoder.TextEncoder)."""

    def encode(self, text: str, pair: str | None = None, /) -> Encoded: ...
    def fitting(self, text: str, pair: str | None = None, /) -> tuple[str, str | None]: ...
    def mask_id(self) -> int | None: ...
    def token(self, number: int, /) -> str: ...


Outputs = Mapping[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Head:
    """`task`: as transformers calls it; `labels`: of a classifier, by the scores' own rule."""

    task: str
    labels: Labels | None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Head:
        """From model/report.json. A next-sentence prediction's two classes have no names in a checkpoint."""
        task = str(facts.get("task", ""))
        labels = labels_in(facts)
        if task == "next-sentence-prediction":
            labels = Labels("logits", ("next", "not next"), "softmax")
        return cls(task, labels)

    def check(self, request: TextRequest, encoded: Encoded, encoder: Encoder) -> None:
        """Raises UsageError for a text that the task has no answer to."""
        if self.task in ("question-answering", "next-sentence-prediction") and request.pair is None:
            raise UsageError(
                f"A model for {self.task} reads two texts; one was given.",
                hint="Give the second one with --text-pair: the text that --text asks of, or what may come next.",
            )
        if self.task == "fill-mask" and not self.masked(encoded, encoder):
            mask = encoder.mask_id()
            name = "a mask token, which its tokenizer does not have" if mask is None else encoder.token(mask)
            raise UsageError(
                f"A model for fill-mask finds what {name} stands for; there is none in the first {len(encoded.ids)} "
                "tokens.",
                hint=f"Write {name} into the text.",
            )

    def masked(self, encoded: Encoded, encoder: Encoder) -> list[int]:
        """The positions of which a masked language model's scores are wanted; of other tasks all are, and this is empty."""
        if self.task != "fill-mask":
            return []
        mask = encoder.mask_id()
        return [place for place, number in enumerate(encoded.ids) if number == mask]

    def read(self, request: TextRequest, encoded: Encoded, encoder: Encoder, outputs: Outputs) -> list[Label]:
        """The answer. `outputs`: by name; of a masked language model the rows of `masked`, float32[masks, V]."""
        if self.task == "fill-mask":
            return _candidates(outputs["logits"], self.masked(encoded, encoder), encoder)
        if self.task == "question-answering":
            return _answer(request, encoded, outputs["start_logits"], outputs["end_logits"])
        if self.labels is None:
            return []
        scores = outputs[self.labels.output]
        if self.task != TOKENS:
            return self.labels.read(scores)
        return read_words(self.labels, scores, _words(request, encoded), _texts(request))

    def spans(self, request: TextRequest, encoded: Encoded, labels: Sequence[Label]) -> list[Label] | None:
        """Of a token classifier with one label a word: the words that belong together. `labels`: of `read`."""
        if self.task != TOKENS or self.labels is None or self.labels.scores != "softmax":
            return None
        return spans_in(labels, _words(request, encoded), _texts(request))


def _texts(request: TextRequest) -> tuple[str, str]:
    return request.text, request.pair or ""


def _words(request: TextRequest, encoded: Encoded) -> list[Word]:
    return words_of(encoded.spans, encoded.words, _texts(request))


def _part(request: TextRequest, encoded: Encoded, first: int, last: int) -> str | None:
    """What of the texts the tokens from `first` to `last` are; None for special ones, and behind the text."""
    if last >= len(encoded.spans):
        return None
    begin, end = encoded.spans[first], encoded.spans[last]
    if begin is None or end is None:
        return None
    text = request.text if begin[0] == 0 else request.pair or ""
    return text[begin[1] : end[2]].strip()


def _shares(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    shares = np.exp(values - values.max())
    return np.asarray(shares / shares.sum())


def _candidates(logits: NDArray[Any], places: Sequence[int], encoder: Encoder) -> list[Label]:
    import numpy as np

    found = []
    for place, row in zip(places, logits.astype(np.float64), strict=True):
        if not np.isfinite(row).all():
            found.append(Label("?", None, place))
            continue
        shares = _shares(row)
        best = np.argsort(-row, kind="stable")[:CANDIDATES]
        found += [Label(encoder.token(int(number)), float(shares[number]), place) for number in best]
    return found


def _answer(request: TextRequest, encoded: Encoded, start: NDArray[Any], end: NDArray[Any]) -> list[Label]:
    """The likeliest span of the second text: the product of both ends' shares among its tokens."""
    import numpy as np

    places = [i for i, span in enumerate(encoded.spans) if span is not None and span[0] == 1]
    rows = [side.astype(np.float64).ravel()[places] for side in (start, end)]
    if not places or not all(np.isfinite(row).all() for row in rows):
        return [Label("?", None)]
    products = np.triu(np.outer(_shares(rows[0]), _shares(rows[1])))
    products -= np.triu(products, LONGEST_ANSWER)
    first, last = np.unravel_index(int(products.argmax()), products.shape)
    text = _part(request, encoded, places[first], places[last]) or ""
    return [Label(text, float(products[first, last]), places[first])]
