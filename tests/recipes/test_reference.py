"""The checkpoint that a project was made from, as a reference: found by its hash, or not at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.project.verify_python import compare_sample
from mcu_sdk.recipes.reference import SAMPLE, CheckpointReference
from tests.checkpoints import make_checkpoint

LENGTH = 6


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with three labels and random weights."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16, num_labels=3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("encoder") / "bert"
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def reference_of(folder: Path, *, for_npu: bool = True, **settings: Any) -> CheckpointReference:
    return CheckpointReference(
        str(folder), find_checkpoint(str(folder)).fingerprint(), for_npu=for_npu, **settings
    )


NAMES = ("input_ids", "attention_mask", "token_type_ids")


def logits_of(folder: Path, arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """transformers' own, of arrays by NAMES."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        given = dict(zip(NAMES, map(torch.from_numpy, arrays), strict=True))
        found: np.ndarray[Any, Any] = model(**given).logits.numpy()
    return found


@pytest.mark.parametrize("for_npu", [False, True])
def test_an_encoders_outputs_are_the_checkpoints(encoder: Path, for_npu: bool) -> None:
    reference = reference_of(encoder, for_npu=for_npu)
    sample = reference.sample(LENGTH)
    assert sample is not None and [array.shape for array in sample[0]] == [(1, LENGTH)] * 3
    assert len(sample) == SAMPLE and sample[0][0].max() > 3  # not what a firmware makes up
    outputs = reference.outputs(sample)
    assert outputs is not None
    for arrays, found in zip(sample, outputs, strict=True):
        np.testing.assert_allclose(found[0], logits_of(encoder, arrays).ravel(), rtol=1e-4, atol=1e-5)
    assert reference.outputs([arrays[:1] for arrays in sample]) is None  # of an earlier version's NPU project


def test_a_checkpoint_that_is_not_at_hand_gives_nothing(encoder: Path, tmp_path: Path) -> None:
    ids = [np.zeros((1, LENGTH), np.int64)]
    right = find_checkpoint(str(encoder)).fingerprint()
    for reference in (
        CheckpointReference(str(encoder), None),
        CheckpointReference(str(encoder), "0" * 64),
        CheckpointReference(str(tmp_path / "gone"), right),
        CheckpointReference(str(make_checkpoint("llama-mha-tied", tmp_path)), right),
    ):
        assert reference.outputs([ids]) is None and reference.sample(LENGTH) is None
        assert reference.logits([1, 2]) is None
    assert reference_of(encoder, samples=False).sample(LENGTH) is None
    no_such_id = [np.full((1, LENGTH), value, np.int64) for value in (50, 1, 0)]
    assert reference_of(encoder).outputs([no_such_id]) is None


@pytest.mark.parametrize(("factor", "ok"), [(1.0, True), (1.02, True), (0.5, False)])
def test_an_encoders_pte_is_held_against_its_checkpoint(encoder: Path, factor: float, ok: bool) -> None:
    """In the place of the .pte stands the checkpoint, its outputs times a factor."""
    views = [torch.zeros(1, LENGTH, dtype=torch.long) for _ in NAMES]

    def run(*inputs: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(logits_of(encoder, [value.numpy() for value in inputs]) * factor)]

    interpreter: Any = SimpleNamespace(inputs=views, run=run)
    (check,) = compare_sample(interpreter, reference_of(encoder), 0.01)
    assert check.name == "PyTorch = the checkpoint, within" and check.ok == ok
    assert "of the outputs (RMS; 0.01 at generation" in check.detail
    assert compare_sample(interpreter, CheckpointReference(str(encoder), "0"), 0.01) == []
