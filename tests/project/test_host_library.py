"""The model in this process: the program's bits, and refusals where those would be others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcu_sdk.errors import BuildError, TextError
from mcu_sdk.project.host_library import HostModel
from tests.project.asking import OnHost, answer


def test_the_library_computes_what_the_program_computes(tiny_project: Path, on_host: OnHost) -> None:
    model = HostModel(tiny_project / "build/host/libmodel.so")
    ids = [1, 2, 3]
    logits = model.tokens(ids)
    output = answer(on_host, tiny_project, b"@run tokens=0 ids=1,2,3", "host")
    assert f"digest={model.digest([logits]):016x}\n".encode() in output
    model.reset()
    steps = [model.step(token).copy() for token in ids]
    np.testing.assert_array_equal(np.stack(steps), logits)
    assert f"model={model.hash}\n".encode() in output
    assert (model.vocab_size, model.max_sequence_length, model.has_tokenizer) == (16, 12, False)
    model.reset()
    (again,) = model.run([np.array([1], np.int64), (0).to_bytes(8, "little")])
    np.testing.assert_array_equal(again, logits[0])


def test_the_library_flushes_subnormals_and_leaves_the_caller_alone(tiny_project: Path) -> None:
    model = HostModel(tiny_project / "build/host/libmodel.so")
    logits = model.tokens([0])
    # weights[4] = 0: what is left of this logit is a subnormal times a large factor
    assert logits[0, 4] == 0.0
    assert np.float32(1e-40) * np.float32(0.5) != 0


def test_the_library_refuses_what_is_out_of_range(tiny_project: Path) -> None:
    model = HostModel(tiny_project / "build/host/libmodel.so")
    for token, position in ((-1, 0), (16, 0), (0, -1), (0, 12)):
        with pytest.raises(ValueError, match="not in 0"):
            model.step(token, position)
    with pytest.raises(ValueError, match="not in 0"):
        model.tokens([0] * 13)
    with pytest.raises(ValueError, match="2 inputs"):
        model.run([b""])
    with pytest.raises(ValueError, match="8 bytes"):
        model.run([b"", b""])
    with pytest.raises(TextError):
        model.encode("hello")
    with pytest.raises(BuildError):
        HostModel(tiny_project / "nothing.so")
