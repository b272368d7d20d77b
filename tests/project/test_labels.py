"""Labels from a classifier's scores."""

from __future__ import annotations

import numpy as np
import pytest

from mcu_sdk.project.labels import Labels, labels_in

NAMES = ("no", "yes", "may be")


def test_the_most_likely_of_several() -> None:
    (label,) = Labels("logits", NAMES, "softmax").read(np.float32([[0, 2, 1]]))
    shares = np.exp([0, 2, 1]) / np.exp([0, 2, 1]).sum()
    assert label.name == "yes" and label.score == pytest.approx(shares[1]) and label.position is None
    assert str(label) == "yes 0.6652"


def test_each_that_is_likely() -> None:
    labels = Labels("logits", NAMES, "sigmoid")
    assert [label.name for label in labels.read(np.float32([[0.5, -1, 3]]))] == ["may be", "no"]
    assert labels.read(np.float32([[-1, -1, -1]])) == []


def test_one_for_each_token_and_a_value() -> None:
    found = Labels("logits", NAMES, "softmax").read(np.float32([[[9, 0, 0], [0, 0, 9]]]))
    assert [(label.position, label.name) for label in found] == [(0, "no"), (1, "may be")]
    (value,) = Labels("logits", ("stars",), "value").read(np.float32([[4.5]]))
    assert value.name == "stars" and value.score == 4.5


def test_what_is_not_finite_or_of_another_shape() -> None:
    labels = Labels("logits", NAMES, "softmax")
    assert labels.read(np.float32([[np.nan, 1, 2]]))[0].score is None
    assert labels.read(np.float32([[1, 2]])) == []


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"labels": 3},
        {"labels": {"output": "logits", "names": [], "scores": "softmax"}},
        {"labels": {"output": "logits", "names": ["a"], "scores": "other"}},
        {"labels": {"output": None, "names": ["a"], "scores": "softmax"}},
    ],
)
def test_facts_that_name_none(facts: dict[str, object]) -> None:
    assert labels_in(facts) is None


def test_facts_that_name_some() -> None:
    facts = {"labels": {"output": "logits", "names": ["a", "b"], "scores": "sigmoid"}}
    assert labels_in(facts) == Labels("logits", ("a", "b"), "sigmoid")
