"""What a classifier's scores say: labels by name, from what model/report.json knows of the checkpoint's head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCORES = ("softmax", "sigmoid", "value")

LIKELY = 0.5
"""Where each label may be right, those from this score on are told."""


@dataclass(frozen=True)
class Label:
    """`score`: a share of 1, or of a regression the value itself; None for what is not finite. `position`: of the token that it is for; `text`: what
    that is in the text."""

    name: str
    score: float | None
    position: int | None = None
    text: str | None = None

    def __str__(self) -> str:
        place = "" if self.position is None else f"{self.position} "
        place += "" if self.text is None else f"{self.text} "
        return f"{place}{self.name} {'not finite' if self.score is None else format(self.score, '.4g')}"

    def to_json(self) -> dict[str, Any]:
        """As plain data; `text` only where a label is of a part of a text."""
        return {key: value for key, value in vars(self).items() if key != "text" or value is not None}


@dataclass(frozen=True)
class Labels:
    """How a classifier's `output`, float32[..., len(names)], is read."""

    output: str
    names: tuple[str, ...]
    scores: str

    def read(self, logits: NDArray[Any]) -> list[Label]:
        """The label of each row, the best first where a row may have several; a row for each token in float32[1, L, N]."""
        if logits.ndim == 0 or logits.shape[-1] != len(self.names):
            return []
        rows = logits.reshape(-1, len(self.names))
        one_each = logits.ndim > 2
        found: list[Label] = []
        for number, row in enumerate(rows):
            found += self.row(row, number if one_each else None)
        return found

    def row(self, row: NDArray[Any], position: int | None) -> list[Label]:
        """The labels of one row of scores, float32[len(names)]; `position`: of the token that it is for."""
        import numpy as np

        values = row.astype(np.float64)
        if not np.isfinite(values).all():
            return [Label("?", None, position)]
        if self.scores == "value":
            return [
                Label(name, float(value), position) for name, value in zip(self.names, values, strict=True)
            ]
        if self.scores == "sigmoid":
            shares = 1 / (1 + np.exp(-values))
            order = [i for i in np.argsort(-shares, kind="stable") if shares[i] >= LIKELY]
        else:
            shares = np.exp(values - values.max())
            shares /= shares.sum()
            order = [int(values.argmax())]
        return [Label(self.names[i], float(shares[i]), position) for i in order]


def labels_in(facts: Mapping[str, Any]) -> Labels | None:
    """The recipe's `labels`; None where there are none, or what is there is not ours."""
    said = facts.get("labels")
    if not isinstance(said, Mapping):
        return None
    output, names, scores = (said.get(key) for key in ("output", "names", "scores"))
    if not isinstance(output, str) or not isinstance(names, list) or scores not in SCORES:
        return None
    return Labels(output, tuple(str(name) for name in names), str(scores)) if names else None
