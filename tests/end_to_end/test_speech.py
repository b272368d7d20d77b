"""Models that answer a sound with a text, the whole way: one result on this computer, a Cortex-M55 and a Cortex-M4, which is
the .pte's in PyTorch and, within what int8 costs, the checkpoint's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk import api, cli
from mcu_sdk.errors import UsageError
from mcu_sdk.generation import generate
from mcu_sdk.model.made_up_sounds import made_up_sounds
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.heard import Heard
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.sounds import read_sound
from tests.pairs import SAMPLES, make_listener, write_wav

SUPPRESSED, FIRST = list(range(50, 90)), [2, 7]
LANGUAGES = {
    "lang_to_id": {"<|en|>": 40, "<|de|>": 41},
    "task_to_id": {"transcribe": 42, "translate": 43},
    "no_timestamps_token_id": 44,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_every_target_answers_a_sound_alike(name: str, tmp_path: Path) -> None:
    language = "de" if name == "whisper" else None
    said = {} if language is None else LANGUAGES
    folder = make_listener(name, tmp_path, suppress_tokens=SUPPRESSED, begin_suppress_tokens=FIRST, **said)
    length = SAMPLES[name] if name == "moonshine" else None
    sounds = made_up_sounds(SAMPLES[name], 3)
    files = [write_wav(tmp_path / f"{n}.wav", sounds[n][: SAMPLES[name] * (4 - n) // 4]) for n in range(2)]
    digests = {}
    for board in ("corstone-300", "mps2-an386"):
        options = CompileOptions(cache_length=24, encoder_length=length, language=language)
        made = generate(GenerateRequest(board, options, model=str(folder), output=tmp_path / board))
        assert made.facts["start_ids"][1:] == ([] if language is None else [41, 42, 44])
        assert made.facts["fused"]["cross_attention"] == made.facts["fused"]["attention"] == 2
        assert made.facts["left_in_float"] == [] and made.facts["sounds"]["front"] == "device"
        found = [api.verify(made.project, audio=file, tokens=8) for file in files]
        for one in found:
            assert one.verdict.ok and len(one.verdict.checks) == 4, one.verdict.summary
        digests[board] = [one.verdict.device.digest for one in found]
        assert len(set(digests[board])) == len(files)
    assert digests["corstone-300"] == digests["mps2-an386"]
    if name == "moonshine":
        request = GenerateRequest("mps2-an386", options, model=str(folder), format="library", name="listener")
        library = generate(replace(request, output=tmp_path / "library")).project
        one = api.verify(library, audio=files[0], tokens=8)
        assert one.verdict.ok and one.verdict.device.digest == digests["mps2-an386"][0]
    _check_choices(made.project, files[0])
    _check_lost_inputs(made.project, files[0])
    _check_refusals(made.project, files[0], tmp_path)


def _check_choices(project: Path, file: Path) -> None:
    """The likeliest of the tokens that may come is what comes."""
    opened = open_project(project)
    heard = Heard.of(opened, read_sound(opened, file), tokens=8)
    said = api.run(project, audio=file, tokens=8, simulator="host").transcript
    model = HostModel.of(project)
    model.reset()
    model.encode_tensors(heard.stored())
    logits = [model.step(token).copy() for token in (*said.start_ids, *said.ids[:-1])]
    assert model.digest(logits) == int(str(said.digest), 16)
    for number, row in enumerate(logits[len(said.start_ids) - 1 :]):
        row[SUPPRESSED + (FIRST if number == 0 else [])] = -np.inf
        assert int(row.argmax()) == said.ids[number]
    with pytest.raises(ValueError, match="the encoder takes"):
        model.encode_tensors(heard.stored()[:0])


def _check_lost_inputs(project: Path, file: Path) -> None:
    """An answer uses the inputs up, and so do a line that is out of order and a prompt that nobody takes."""
    from mcu_sdk.project.runners import built_device
    from mcu_sdk.targets.transfer import puts_of

    opened = open_project(project)
    heard = Heard.of(opened, read_sound(opened, file), tokens=2)
    puts = puts_of(b"".join(array.tobytes() for array in heard.stored()))
    device = built_device(opened, simulator="host").device
    prompt = type(heard.request)(text="the", tokens=2)
    messages = [heard.request, *puts[:2], puts[1], puts[3], *puts[2:], prompt, heard.request, heard.request]
    answers = list(device.each(messages))
    reasons = [answer.facts.get("reason", "") for answer in answers]
    assert reasons == [
        *["inputs_expected", "", "", "", "out_of_order", *[""] * len(puts[2:])],
        *["no_prompt_is_taken", "", "inputs_expected"],
    ]
    assert answers[-2].digest == api.run(project, audio=file, tokens=2, simulator="host").transcript.digest


def _check_refusals(project: Path, file: Path, folder: Path) -> None:
    opened = open_project(project)
    with pytest.raises(UsageError, match="not a prompt"):
        api.run(project, prompt="the", simulator="host")
    with pytest.raises(UsageError, match="not a prompt"):
        api.run_prompts(project, ["the"], simulator="host")
    arrays = read_sound(opened, file)
    if opened.masks_rows:
        with pytest.raises(UsageError, match="1 for the encoder's rows that count"):
            Heard.of(opened, {**arrays, "attention_mask": np.zeros_like(arrays["attention_mask"])})
    with pytest.raises(UsageError, match="one call of the encoder"):
        Heard.of(opened, {name: np.stack([array, array]) for name, array in arrays.items()})
    loud = np.ones(20_000, np.int16)
    for path, words in (
        (write_wav(folder / "rate.wav", loud, rate=8000), "trained at 16,000"),
        (write_wav(folder / "empty.wav", loud[:0]), "no samples"),
        (write_wav(folder / "two.wav", loud, channels=2), "2 channels"),
    ):
        with pytest.raises(UsageError, match=words):
            api.run(project, audio=path, simulator="host")
    command = ["run", str(project), f"--audio={write_wav(folder / 'long.wav', loud)}", "--simulator=host"]
    assert cli.run([*command, "--tokens=2"]) == 0
    assert cli.run([*command, "--output=x.npy"]) == 2
