"""The main job with the bundled model: checkpoint to verified firmware on the simulated Cortex-M55."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mcu_sdk import cli, resources
from mcu_sdk.planning.instruction import Space
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.elf import forbidden_symbols, read_sizes
from mcu_sdk.project.host_library import HostModel

TEXT = Path(__file__).parents[1] / "data" / "scene.txt"
"""Written for this test, in the manner of what the bundled model was trained on."""

PROMPT = "ROMEO:\nWhat light"


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """The JSON that a verb prints."""
    capfd.readouterr()
    assert cli.run([*arguments, "--json"]) == 0, capfd.readouterr().err
    return json.loads(capfd.readouterr().out)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundled") / "firmware"


def test_generate_twice_gives_the_same(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With an empty cache, then from it; what was made serves the other tests."""
    shared, own = Path(os.environ["MCU_SDK_CACHE"]), tmp_path / "cache"
    monkeypatch.setenv("MCU_SDK_CACHE", str(own))
    first = run(capfd, "generate", "--board", "corstone-300", "--output", str(project))
    again = run(capfd, "generate", "--board", "corstone-300", "--output", str(project))
    assert first["hash"] == again["hash"]
    for made in own.iterdir():
        if not (shared / made.name).exists():
            shutil.copytree(made, shared / made.name)
    assert first["int8_linears"] == 36 and first["float_linears"] == 0


def test_verify_proves_device_host_and_pytorch(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    verdict = run(capfd, "verify", str(project), "--prompt", PROMPT, "--tokens", "40")
    assert verdict["verdict"] == "ok", verdict
    assert {check["ok"] for check in verdict["checks"]} == {True} and len(verdict["checks"]) == 4


def test_memory_is_what_the_elf_says(project: Path) -> None:
    elf = project / "build" / "release" / "firmware.elf"
    sizes = read_sizes(elf)
    pte = read_pte((project / "model" / "model.pte").read_bytes())
    # 5 layers, keys and values, 2 heads, 512 positions, 32 channels of one byte and a float16 scale
    assert sizes.kv_cache == pte.kv_cache_bytes == 5 * 2 * 2 * 512 * (32 + 2)
    assert sizes.arena == pte.arena_bytes < 6 * 1024
    assert sizes.stack > 0 and not forbidden_symbols(elf)
    writers = {
        instruction.operator
        for instruction, written in zip(pte.instructions, pte.writes, strict=True)
        if any(tensor.space is Space.KV_CACHE for tensor in written)
    }
    assert writers == {
        "mcu::cache_write_dynamic_",
        "mcu::cache_write_columns_dynamic_",
        "mcu::cache_scale_write_",
    }  # one position in place; nothing copies the cache


def test_the_plan_reads_as_the_network(project: Path) -> None:
    plan = (project / "model" / "plan.cpp").read_text()
    for name in ("model.layers.4.self_attn.q_proj", "model.layers.0.mlp.down_proj", "model.norm", "lm_head"):
        assert f"// {name}" in plan
    assert "malloc" not in plan and str(Path.home()) not in plan


def test_text_goes_through_the_tokenizer_on_the_device(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(resources.bundled_model() / "tokenizer.json"))
    result = run(
        capfd,
        "run",
        str(project),
        "--prompt",
        PROMPT,
        "--tokens",
        "20",
        "--seed",
        "5",
        "--temperature",
        "0.8",
    )
    assert result["run"]["prompt_ids"] == tokenizer.encode(PROMPT).ids
    assert result["run"]["text"].encode() == tokenizer.decode(result["run"]["ids"]).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "bar"),
    [
        ([], 0.05),
        pytest.param(["--activations", "static"], 0.25, marks=pytest.mark.slow),
    ],
)
def test_quantization_costs_what_the_bar_allows(
    options: list[str], bar: float, capfd: pytest.CaptureFixture[str]
) -> None:
    """The bars of docs/quantization.md, which hold on held-out text of the corpus, held here on a text of the same kind:
    3,000 tokens, on which int8 loses 0.029 % (of 59,436 tokens 0.020 %); with static activations 0.118 %."""
    capfd.readouterr()
    assert cli.run(["evaluate", str(TEXT), "--json", *options]) == 0
    scores = json.loads(capfd.readouterr().out)
    assert 1.9 < scores[0]["bits_per_byte"] < 2.1  # the float checkpoint knows such text
    assert abs(scores[1]["over_float_percent"]) < bar


@pytest.mark.slow
def test_the_host_library_speaks_as_the_checkpoint(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Greedy text of the float checkpoint and of the firmware begin alike: the model is the model."""
    import torch
    from tokenizers import Tokenizer

    from mcu_sdk.model.load import find_checkpoint, load_model
    from mcu_sdk.project.build import build

    run(capfd, "generate", "--board", "host", "--output", str(tmp_path / "host"))
    library = build(tmp_path / "host", "host").library
    assert library is not None
    model = HostModel(library)
    ids = Tokenizer.from_file(str(resources.bundled_model() / "tokenizer.json")).encode(PROMPT).ids
    with torch.no_grad():
        wanted = load_model(find_checkpoint(None))(input_ids=torch.tensor([ids])).logits[0]
    found = torch.from_numpy(model.tokens(ids).copy())
    assert (found.argmax(-1) == wanted.argmax(-1)).float().mean() > 0.9
    assert os.path.getsize(library) > 1_000_000  # the weights are in it
