"""A decoder beside an NPU where the fewest estimated cycles decide: the board's bandwidths turn the choice, and what was
chosen computes on the simulated device what it computes on the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.runners import run_on
from mcu_sdk.regeneration import regenerate
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import make_checkpoint
from tests.test_regeneration import files_of

pytestmark = pytest.mark.slow
TARGET, CACHE_LENGTH = "ethos-u55-128", 32
ASKED = Request(ids=(1, 5, 7, 2), tokens=9, past_end=True)

SLOW = (
    'name = "qspi"\norigin = 0x2800_0000\nsize = "8M"\nkind = "rom"\nspeed = 4\n',
    "bytes_per_second = 200_000\n",
)
"""A flash that the processor reads far slower than the NPU its own memory."""


def slow_board(folder: Path) -> str:
    """The Corstone-300 with weights in a slow flash where the processor is to have them, in SRAM for the NPU."""
    text = (resources.boards() / "corstone-300" / "board.toml").read_text()
    for old, new in (
        (SLOW[0], SLOW[0] + SLOW[1]),
        ('weights = ["sram", "isram", "ddr"]', 'weights = ["qspi"]'),
        ("[uart]\n", "[clock]\ncore_hz = 25_000_000\n\n[uart]\n"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    folder.mkdir()
    (folder / "board.toml").write_text(text)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_checkpoint("llama-gqa-untied", tmp_path_factory.mktemp("model"), num_hidden_layers=1))


@pytest.mark.parametrize("chosen", ["cpu", "linears"])
def test_the_choice_turns_with_the_bandwidth_and_computes_the_same_everywhere(
    chosen: str, model: str, tmp_path: Path
) -> None:
    board = "corstone-300" if chosen == "cpu" else slow_board(tmp_path / "slow")
    request = GenerateRequest(
        board,
        CompileOptions(CACHE_LENGTH),
        model=model,
        output=tmp_path / "firmware",
        target=TARGET,
        decode="auto",
    )
    generated = generate(request)
    project = open_project(generated.project)
    choice = project.decode()
    assert choice is not None and (choice.form, choice.position) == (chosen, CACHE_LENGTH // 2)
    cycles = {form: step.cycles for form, step in choice.estimates.items() if step is not None}
    assert set(cycles) == {"cpu", "linears", "npu"} and min(cycles, key=lambda form: cycles[form]) == chosen
    assert project.accelerator == (None if chosen == "cpu" else TARGET)
    assert (project.npu_details() is None) == (chosen == "cpu")
    preset = project.preset_for("qemu")
    there = run_on("qemu", project, build(project.folder, preset).program, ASKED)
    here = run_on("host", project, build(project.folder, "host").program, ASKED)
    assert there.verdict == "ok" and (there.digest, there.ids) == (here.digest, here.ids)
    before = files_of(project.folder)
    regenerate(project.folder)
    assert files_of(project.folder) == before


def test_what_the_processor_alone_computes_is_what_its_own_target_does(model: str, tmp_path: Path) -> None:
    def made(name: str, **more: str) -> bytes:
        request = GenerateRequest(
            "corstone-300", CompileOptions(CACHE_LENGTH), model=model, output=tmp_path / name, **more
        )
        return (generate(request).project / "model" / "model.pte").read_bytes()

    assert made("beside", target=TARGET, decode="cpu") == made("alone", target="cortex-m55")


def test_linears_on_the_npu_compute_on_the_device_what_they_do_on_the_host(
    model: str, tmp_path: Path
) -> None:
    request = GenerateRequest(
        "corstone-300",
        CompileOptions(CACHE_LENGTH),
        model=model,
        output=tmp_path / "firmware",
        target=TARGET,
        decode="linears",
    )
    project = open_project(generate(request).project)
    choice, details = project.decode(), project.npu_details()
    assert choice is not None and choice.form == choice.asked == "linears" and details is not None
    step = choice.estimates["linears"]
    assert step is not None and step.delegates == len(details.cycles) > 1
    there = run_on("qemu", project, build(project.folder, project.preset_for("qemu")).program, ASKED)
    here = run_on("host", project, build(project.folder, "host").program, ASKED)
    assert there.verdict == "ok" and (there.digest, there.ids) == (here.digest, here.ids)
