"""Encoder-decoders, the whole way: one result on this computer, a Cortex-M55 and a Cortex-M4, which is the .pte's in PyTorch
and, within what int8 costs, the checkpoint's."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk import api
from mcu_sdk.errors import UsageError
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.opened import open_project
from tests.pairs import make_pair

TEXTS = ("the red lamp is on", "off", "blue light, the lamp is off")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t5"])
def test_every_target_answers_a_text_alike(name: str, tmp_path: Path) -> None:
    folder = str(make_pair(name, tmp_path))
    digests = {}
    for board in ("corstone-300", "mps2-an386"):
        options = CompileOptions(cache_length=24, encoder_length=16)
        made = generate(GenerateRequest(board, options, model=folder, output=tmp_path / board))
        assert made.facts["fused"]["cross_attention"] == made.facts["fused"]["attention"] > 0
        assert made.facts["encoder"]["cross_cache_bytes"] > 0
        found = api.verify_prompts(made.project, TEXTS, tokens=8)
        for one in found:
            assert one.verdict.ok and len(one.verdict.checks) == 4, one.verdict.summary
        digests[board] = [one.verdict.device.digest for one in found]
        assert len(set(digests[board])) == len(TEXTS)
    assert digests["corstone-300"] == digests["mps2-an386"]
    request = GenerateRequest("corstone-300", options, model=folder, format="library", name="asker")
    library = generate(replace(request, output=tmp_path / "library")).project
    found = api.verify_prompts(library, TEXTS, tokens=8)
    assert [one.verdict.device.digest for one in found] == digests["corstone-300"]
    _check_cut_off(made.project, tmp_path)
    _check_library(made.project)


@pytest.mark.slow
def test_int4_weights_of_the_decoder(tmp_path: Path) -> None:
    folder = str(make_pair("t5", tmp_path))
    sizes = {}
    for weights in ("int8", "int4"):
        options = CompileOptions(cache_length=24, encoder_length=16, weights=weights)  # type: ignore[arg-type]
        made = generate(GenerateRequest("host", options, model=folder, output=tmp_path / weights))
        sizes[weights] = made.plan.model_bytes
        calls = [planned.instruction.operator for planned in made.plan.calls]
        assert ("mcu::linear_s4" in calls) == (weights == "int4")
        one = api.verify(made.project, text=TEXTS[0], tokens=6)
        assert one.verdict.ok and len(one.verdict.checks) == 4, one.verdict.summary
    assert made.facts["int4_linears"] == 16  # q, k, v, o; q, o; two of the feed-forward part, of two layers
    assert sizes["int4"] < sizes["int8"]


@pytest.mark.slow
def test_answers_follow_a_grammar_and_end_with_a_stop_text(tmp_path: Path) -> None:
    """Of a decoder behind an encoder, whose grammar begins behind its start token."""
    folder = str(make_pair("t5", tmp_path))
    (tmp_path / "grammar").write_text("(( red| blue)( lamp| light) is( on| off),?){2,4}")
    options = CompileOptions(cache_length=24, encoder_length=16)
    request = GenerateRequest(
        "host", options, model=folder, output=tmp_path / "p", grammar=tmp_path / "grammar", stop=(",",)
    )
    made = generate(request)
    assert made.facts["grammar"]["shortest"] == 8
    texts = {
        api.run(made.project, text="off", tokens=20, seed=seed, temperature=2.0, stop=stop).transcript.text
        for seed in range(4)
        for stop in ((), ("",))
    }
    ended = {text for text in texts if re.fullmatch(r"(( red| blue)( lamp| light) is( on| off)){1,4}", text)}
    whole = {
        text for text in texts if re.fullmatch(r"(( red| blue)( lamp| light) is( on| off),?){2,4}", text)
    }
    assert ended | whole == texts and len(whole) > 1
    with pytest.raises(UsageError, match="shortest answer that the project's grammar allows has 8"):
        api.run(made.project, text="off", tokens=4)


def _check_cut_off(project: Path, folder: Path) -> None:
    """What is no text for the encoder is refused, by the SDK and by the firmware."""
    opened = open_project(project)
    with pytest.raises(UsageError, match="none was given"):
        opened.request()
    with pytest.raises(UsageError, match="encoder reads 16"):
        opened.request(ids=range(17))
    with pytest.raises(UsageError, match="prompt is longer than"):
        api.run(project, text="abcdefghijklmnopqrst", tokens=2, simulator="host")


def _check_library(project: Path) -> None:
    """Another source, other logits; the same again, the same."""
    model = HostModel.of(project)
    rows = []
    for source in ((4, 5, 1), (6, 1), (4, 5, 1)):
        model.reset()
        model.encode_source(source)
        rows.append(np.concatenate([model.step(0).copy(), model.step(7).copy()]))
    assert np.array_equal(rows[0], rows[2]) and not np.array_equal(rows[0], rows[1])
    with pytest.raises(ValueError, match="reads 1 to 16 tokens"):
        model.encode_source(())
