"""What an encoder's outputs say of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mcu_sdk.errors import UsageError
from mcu_sdk.project.heads import CANDIDATES, LONGEST_ANSWER, Head
from mcu_sdk.project.labels import Labels
from mcu_sdk.targets.texts import TextRequest

MASK = 4


@dataclass(frozen=True)
class Encoded:
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int, int] | None, ...]
    words: tuple[int | None, ...]
    types: tuple[int, ...] = ()
    dropped: int = 0


class Encoder:
    def encode(self, text: str, pair: str | None = None) -> Encoded:
        raise NotImplementedError

    def fitting(self, text: str, pair: str | None = None) -> tuple[str, str | None]:
        return text, pair

    def mask_id(self) -> int | None:
        return MASK

    def token(self, number: int) -> str:
        return f"<{number}>"


ONE = TextRequest("red lamp")
TWO = TextRequest("where", "in the kitchen now")
READ = Encoded((2, 10, 11, 3), (None, (0, 0, 3), (0, 4, 8), None), (None, 0, 1, None))
PAIR = Encoded(
    (2, 9, 3, 5, 6, 7, 8, 3),
    (None, (0, 0, 5), None, (1, 0, 2), (1, 3, 6), (1, 7, 14), (1, 15, 18), None),
    (None, 0, None, 0, 1, 2, 3, None),
)


def test_a_label_for_each_token_that_is_of_the_text() -> None:
    head = Head("token-classification", Labels("logits", ("O", "THING"), "softmax"))
    logits = np.zeros((1, 6, 2), np.float32)
    logits[0, 2, 1] = logits[0, 3, 1] = 9
    found = head.read(ONE, READ, Encoder(), {"logits": logits})
    assert [(label.position, label.text, label.name) for label in found] == [
        (1, "red", "O"),
        (2, "lamp", "THING"),
    ]
    assert str(found[1]) == "2 lamp THING 0.9999"
    spans = head.spans(ONE, READ, found)
    assert spans is not None and [(span.name, span.text) for span in spans] == [("THING", "lamp")]
    many = Head("token-classification", Labels("logits", ("O", "THING"), "sigmoid"))
    assert many.spans(ONE, READ, found) is None


def test_the_likeliest_span_of_the_second_text() -> None:
    head = Head("question-answering", None)
    start, end = np.zeros((1, 8), np.float32), np.zeros((1, 8), np.float32)
    start[0, 1] = end[0, 1] = 99  # the question is no answer
    start[0, 4], end[0, 5] = 5, 4
    (found,) = head.read(TWO, PAIR, Encoder(), {"start_logits": start, "end_logits": end})
    shares = [np.exp(best) / (np.exp(best) + 3) for best in (5.0, 4.0)]
    assert found.name == "the kitchen" and found.position == 4
    assert found.score == pytest.approx(shares[0] * shares[1])
    end[0, 5], end[0, 3] = 0, 9  # it ends before it begins
    (found,) = head.read(TWO, PAIR, Encoder(), {"start_logits": start, "end_logits": end})
    assert found.name != "the kitchen" and found.score is not None and found.score < 0.3


def test_an_answer_is_not_longer_than_the_pipelines() -> None:
    count = LONGEST_ANSWER + 5
    encoded = Encoded((7,) * count, tuple((1, i, i + 1) for i in range(count)), (0,) * count)
    start, end = np.zeros((1, count), np.float32), np.zeros((1, count), np.float32)
    start[0, 0] = end[0, -1] = 20
    request = TextRequest("q", "".join(chr(97 + i) for i in range(count)))
    (found,) = Head("question-answering", None).read(
        request, encoded, Encoder(), {"start_logits": start, "end_logits": end}
    )
    assert len(found.name) <= LONGEST_ANSWER


def test_candidates_for_each_mask() -> None:
    head = Head("fill-mask", None)
    encoded = Encoded((2, MASK, 10, MASK, 3), (None,) * 5, (None,) * 5)
    assert head.masked(encoded, Encoder()) == [1, 3]
    rows = np.zeros((2, 20), np.float32)
    rows[0, 7], rows[1, 9] = 3, 4
    found = head.read(ONE, encoded, Encoder(), {"logits": rows})
    assert len(found) == 2 * CANDIDATES and [label.position for label in found[::CANDIDATES]] == [1, 3]
    assert found[0].name == "<7>" and found[CANDIDATES].name == "<9>"
    assert found[0].score == pytest.approx(np.exp(3) / (np.exp(3) + 19))


def test_the_next_sentence() -> None:
    head = Head.of({"task": "next-sentence-prediction", "output_names": ["logits"]})
    (found,) = head.read(TWO, PAIR, Encoder(), {"logits": np.float32([[2, 0]])})
    assert found.name == "next"


def test_a_vector_has_no_label() -> None:
    vector = np.ones((1, 8), np.float32)
    assert Head("feature-extraction", None).read(ONE, READ, Encoder(), {"sentence_embedding": vector}) == []


def test_what_is_not_finite() -> None:
    broken = np.full((1, 8), np.nan, np.float32)
    outputs = {"start_logits": broken, "end_logits": broken}
    assert Head("question-answering", None).read(TWO, PAIR, Encoder(), outputs)[0].score is None
    encoded = Encoded((MASK,), (None,), (None,))
    assert Head("fill-mask", None).read(ONE, encoded, Encoder(), {"logits": broken})[0].score is None


def test_texts_without_an_answer_are_refused() -> None:
    with pytest.raises(UsageError, match="reads two texts"):
        Head("question-answering", None).check(ONE, READ, Encoder())
    with pytest.raises(UsageError, match="finds what <4> stands for"):
        Head("fill-mask", None).check(ONE, READ, Encoder())
