"""`generate --runtime executorch`: the same program, run by ExecuTorch's own runtime on this computer, gives the bits of the
compiled plan; for a Cortex-M55 and a Cortex-M4 all of it compiles."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk import api
from mcu_sdk.errors import DoesNotFitError, McuSdkError
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.executorch_memory import BITS_64, memory_of
from mcu_sdk.planning.pte.program import read_program
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.executorch import executorch_of
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.made_up import made_up_inputs
from mcu_sdk.targets import host
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import encoder_length, make_encoder
from tests.decoders import save_small_decoder
from tests.end_to_end.test_earlier_executorch import TOKENS as RECORDED
from tests.end_to_end.test_earlier_executorch import expected
from tests.pairs import make_pair

FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"
TOKENS = (1, 5, 7, 2, 79, 11, 3, 3, 40, 9, 64, 0, 17, 22, 6, 8, 9, 3, 4)
IDS = tuple(range(3, 12))


def loaded(project: Path) -> HostModel:
    library = build(project, "host").library
    assert library is not None
    return HostModel(library)


def outputs(model: HostModel) -> int:
    """The digest of some steps: of tokens, behind what an encoder read, or of made-up tensors."""
    model.reset()
    if not model.is_language_model:
        inputs = made_up_inputs([(memory.dtype.name, memory.size) for memory in model.inputs], 7, 3)
        return model.digest([output for given in inputs for output in model.run(given)])
    if model.encoder_length:
        model.encode_source([5, 4, 1])
        return model.digest([model.step(token).copy() for token in (0, 7, 3)])
    tokens = TOKENS if model.slides else TOKENS[: model.max_sequence_length]
    return model.digest(model.read_prompt([token % model.vocab_size for token in tokens]))


def check_memory(project: Path, model: HostModel) -> None:
    """Each method took what the file says of it, to the byte, and so did operators of temporary memory."""
    data = (project / "model" / "model.pte").read_bytes()
    taken = memory_of(read_program(data).execution_plan, read_pte(data), BITS_64)
    used = model.runtime_memory()
    assert used.keys() == {*taken, "temporary"}
    for name, memory in taken.items():
        assert used[name] == (memory.method_allocator, memory.method_allocator)
    given, most = used["temporary"]
    assert given == max(16, *(memory.temporary for memory in taken.values()))
    assert most == max(memory.temporary_used for memory in taken.values())


def check_twins(request: GenerateRequest) -> Path:
    """The project of a request for ExecuTorch's runtime, whose outputs are those of the plan's."""
    folder = request.output
    assert folder is not None
    plan = generate(replace(request, output=folder / "plan")).project
    official = replace(request, output=folder / "official", runtime="executorch")
    project = generate(official).project
    model = loaded(project)
    assert outputs(model) == outputs(loaded(plan))
    check_memory(project, model)
    return project


def test_computes_the_recorded_bits(tmp_path: Path) -> None:
    """Of a file whose digest was recorded under its compiled plan."""
    path = FIXTURES / "decoder-packed.pte"
    request = GenerateRequest("host", pte=path, output=tmp_path / "p", runtime="executorch")
    project = generate(request).project
    model = loaded(project)
    assert f"{model.digest([model.tokens(RECORDED)]):016x}" == expected(path)["digest"]
    check_memory(project, model)


@pytest.mark.slow
def test_a_decoder_and_what_is_too_small_for_it(tmp_path: Path) -> None:
    request = GenerateRequest("host", pte=FIXTURES / "decoder-packed.pte", output=tmp_path)
    project = check_twins(request)
    found = api.verify(project, ids=IDS, tokens=4)
    assert found.verdict.ok and len(found.verdict.checks) == 3, found.verdict.summary
    answer = host.run(build(project, "host").program, Request(ids=IDS, tokens=4))
    assert answer.facts["runtime"] == "executorch"
    assert answer.facts["forward_bytes"] == answer.facts["forward_used"]
    _check_too_small(project)


def _check_too_small(project: Path) -> None:
    """With less, a refusal ends the run, with its meaning: by the runtime, or by what gives it planned memories."""
    program = project / "model" / "program.cpp"
    text = program.read_text()
    methods = "values and instructions is too small, or the temporary memory"
    for number, (pattern, less, words) in enumerate(
        (
            (r"(?<=step_memory\[k64 \? )\d+", 1, methods),
            (r"(?<=\(k64 \? )\d+", 384, methods),
            (r"(?<=\{arena_memory \+ 0, )\d+", 1, "plans more memory than the project has"),
            (r"(?<=\{kv_cache_memory \+ 0, )\d+", 1, "plans more memory than the project has"),
        )
    ):
        assert re.search(pattern, text)
        program.write_text(re.sub(pattern, lambda found, less=less: str(int(found[0]) - less), text))
        built = build(project, "host")
        assert built.edited == ("model/program.cpp",) and built.library is not None
        with pytest.raises(DoesNotFitError, match=words):
            host.run(built.program, Request(ids=IDS, tokens=4))
        renamed = built.library.with_name(f"again-{number}.so")  # a library is loaded once by its path
        renamed.write_bytes(built.library.read_bytes())
        with pytest.raises(McuSdkError, match=words):
            HostModel(renamed).tokens(IDS)
    program.write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "decoder-rows",
        "decoder-int4",
        "stock-mlp",
        "stock-encoder-gelu",
        "float-portable",
    ],
)
def test_files_of_an_earlier_executorch(name: str, tmp_path: Path) -> None:
    check_twins(GenerateRequest("host", pte=FIXTURES / f"{name}.pte", output=tmp_path))


@pytest.mark.slow
def test_the_bundled_model(tmp_path: Path) -> None:
    project = check_twins(GenerateRequest("host", output=tmp_path))
    found = api.verify(project, prompt="ROMEO:", tokens=16)
    assert found.verdict.ok and len(found.verdict.checks) >= 3, found.verdict.summary


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama-gqa-untied", "qwen3"])
def test_a_prefill_and_the_steps_behind_it(
    family: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    options = CompileOptions(40, prefill=8)
    project = check_twins(
        GenerateRequest("host", options, model=str(checkpoint(family)), output=tmp_path / "p")
    )
    assert {"forward", "prefill", "temporary"} == loaded(project).runtime_memory().keys()
    found = api.verify(project, ids=IDS, tokens=4)
    assert found.verdict.ok and found.verdict.host.number("chunks") == 1


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gemma2", "olmoe"])
def test_functions_that_executorch_rounds_otherwise(family: str, tmp_path: Path) -> None:
    """They are ours here as well, and nothing of its kernel library is left but what moves values."""
    folder = str(save_small_decoder(family, tmp_path))
    made = GenerateRequest("host", CompileOptions(40), model=folder, output=tmp_path / "p")
    project = check_twins(made)
    left = executorch_of_project(project)
    assert {name.partition(".")[0] for name in left} <= {
        "aten::slice_copy",
        "aten::select_copy",
        "aten::index_select",
    }


def executorch_of_project(project: Path) -> tuple[str, ...]:
    data = (project / "model" / "model.pte").read_bytes()
    return executorch_of(data, read_pte(data)).foreign


@pytest.mark.slow
def test_a_cache_that_slides(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    options = CompileOptions(12, when_full="slide")
    folder = str(checkpoint("llama-gqa-untied"))
    check_twins(GenerateRequest("host", options, model=folder, output=tmp_path / "p"))


@pytest.mark.slow
def test_a_file_of_executorchs_own_operators(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """Of which those that compute floats are ours in a project; also where the file is given."""
    options = CompileOptions(24, operators="portable")
    folder = str(checkpoint("llama-gqa-untied"))
    project = check_twins(GenerateRequest("host", options, model=folder, output=tmp_path / "p"))
    pte = project / "model" / "model.pte"
    given = generate(GenerateRequest("host", pte=pte, output=tmp_path / "given", runtime="executorch"))
    assert outputs(loaded(given.project)) == outputs(loaded(project))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "minilm"])
def test_an_encoder(family: str, tmp_path: Path) -> None:
    folder = str(make_encoder(family, tmp_path / "checkpoint"))
    options = CompileOptions(encoder_length(family))
    project = check_twins(GenerateRequest("host", options, model=folder, output=tmp_path / "p"))
    assert api.verify(project, steps=2).verdict.ok


@pytest.mark.slow
def test_an_encoder_decoder(tmp_path: Path) -> None:
    folder = str(make_pair("t5", tmp_path / "checkpoint"))
    options = CompileOptions(cache_length=24, encoder_length=16)
    project = check_twins(GenerateRequest("host", options, model=folder, output=tmp_path / "p"))
    assert loaded(project).runtime_memory().keys() == {"forward", "encoder", "temporary"}


@pytest.mark.slow
@pytest.mark.parametrize("board", ["corstone-300", "mps2-an386"])  # a Cortex-M55, a Cortex-M4
def test_everything_compiles_for_a_board(board: str, tmp_path: Path) -> None:
    request = GenerateRequest(board, pte=FIXTURES / "decoder-rows.pte", output=tmp_path, runtime="executorch")
    built = build(generate(request).project, objects=True)
    assert {"sdk/executor", "sdk/operators", "sdk/kernels", "sdk/runtime", "model"} <= built.objects.keys()
    assert 0 < built.objects["sdk/executor"].code < 8192
    assert not (built.program / "firmware.elf").exists()
