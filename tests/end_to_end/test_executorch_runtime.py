"""The .pte under ExecuTorch's own runtime, from C++ and from Python: the bits of our firmware, the tokens of its LLM runner,
and what damaged files may do."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.executorch_memory import BITS_64, memory_of
from mcu_sdk.planning.language_model import PAD
from mcu_sdk.planning.pte.program import read_program
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.made_up import made_up_inputs
from mcu_sdk.targets import host
from mcu_sdk.targets.protocol import Request
from tests.checkpoints import FAMILIES, encoder_length, make_encoder
from tests.decoders import MODELS, OTHERS, save_small_decoder
from tests.models.stock.lowering import Stock
from tests.official import build_runner, build_shared, instead_of_theirs, python
from tests.pairs import make_pair

PROMPT, TOKENS = "ROMEO:", 24

STEPS = """
import ctypes, sys
import torch
from executorch.runtime import Runtime
from mcu_sdk.project.host_library import HostModel

library, pte, model = sys.argv[1:]
ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
method = Runtime.get().load_program(pte).load_method("forward")
ours, theirs = HostModel(__import__("pathlib").Path(model)), []
tokens = [(7 * i + 3) % ours.vocab_size for i in range(24)]
for position, token in enumerate(tokens):
    (logits,) = method.execute([torch.tensor([[token]]), torch.tensor([position])])
    theirs.append(logits.numpy().ravel().copy())
print(f"{ours.digest(list(ours.tokens(tokens))):016x} {ours.digest(theirs):016x}")
"""

RUNNER = """
import ctypes, sys
import torch
from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner

library, pte, tokenizer, prompt, tokens = sys.argv[1:]
ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
said = []
config = GenerationConfig(max_new_tokens=int(tokens), temperature=0.0, echo=False)
TextLLMRunner(pte, tokenizer).generate(prompt, config, said.append)
sys.stdout.write("\\nsaid:" + "".join(said))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shared(tmp_path_factory.mktemp("shared") / "operators")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_runner(tmp_path_factory.mktemp("runner") / "plain")


def same_digest(runner: Path, project: Path, ids: tuple[int, ...]) -> None:
    """The runner reads the tokens with ExecuTorch's runtime, our library of the project with the plan."""
    built = build(project, "host").library
    assert built is not None
    ours = HostModel(built)
    ours.reset()
    wanted = f"{ours.digest(ours.read_prompt(ids)):016x}"
    pte = project / "model" / "model.pte"
    done = run(runner, "read", pte, ours.prefill_rows, *ids)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == wanted
    check_sizes(runner, pte)


def run(runner: Path, verb: str, pte: Path, *more: object) -> subprocess.CompletedProcess[str]:
    """With ours in the place of ExecuTorch's operators as in a project of that file."""
    environment = os.environ | {"MCU_INSTEAD": ",".join(instead_of_theirs(pte))}
    command = [str(runner), verb, str(pte), *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)


def check_sizes(runner: Path, pte: Path) -> None:
    """What the file says of its memory is what the runtime takes; one byte less is refused with the runtime's message."""
    data = pte.read_bytes()
    taken = memory_of(read_program(data).execution_plan, read_pte(data), BITS_64)["forward"]
    done = run(runner, "fit", pte, taken.method_allocator, taken.temporary)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["method", str(taken.method_allocator)]
    for less in ((1, 0), (0, 1)):
        sizes = taken.method_allocator - less[0], taken.temporary - less[1]
        done = run(runner, "fit", pte, *sizes)
        assert done.returncode == 3 and "Memory allocation failed" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("board", "options"),
    [
        ("corstone-300", CompileOptions(40, "dynamic", "dynamic")),  # whose weights are packed
        ("host", CompileOptions(40, "static", "calibrated")),
        ("host", CompileOptions(40, "dynamic", "calibrated", weights="int4")),
    ],
)
def test_decoders(
    family: str,
    board: str,
    options: CompileOptions,
    runner: Path,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    request = GenerateRequest(board, options, model=str(checkpoint(family)), output=tmp_path / "project")
    same_digest(runner, generate(request).project, tuple(7 * i % 40 for i in range(24)))


@pytest.mark.slow
@pytest.mark.parametrize("family", OTHERS)
def test_decoders_that_are_read_token_by_token(family: str, runner: Path, tmp_path: Path) -> None:
    folder = str(save_small_decoder(family, tmp_path))
    request = GenerateRequest("host", CompileOptions(40), model=folder, output=tmp_path / "host")
    same_digest(runner, generate(request).project, tuple(7 * i % 40 for i in range(24)))


@pytest.mark.slow
@pytest.mark.parametrize("family", MODELS)
def test_a_prefill_and_the_steps_behind_it_share_their_caches(
    family: str, runner: Path, tmp_path: Path
) -> None:
    options = CompileOptions(40, prefill=8)
    folder = str(save_small_decoder(family, tmp_path))
    request = GenerateRequest("host", options, model=folder, output=tmp_path / "host")
    same_digest(runner, generate(request).project, tuple(7 * i % 40 for i in range(29)))


@pytest.mark.slow
def test_an_encoder_and_the_steps_that_attend_to_it(runner: Path, tmp_path: Path) -> None:
    """Two methods, of which the first leaves keys and values to the second; read twice, of different lengths."""
    folder = make_pair("t5", tmp_path)
    options = CompileOptions(24, encoder_length=16)
    project = generate(GenerateRequest("host", options, model=str(folder), output=tmp_path / "host")).project
    built, pte = build(project, "host").library, project / "model" / "model.pte"
    assert built is not None
    ours, pad = HostModel(built), read_pte(pte.read_bytes()).metadata[PAD]
    answer = [pad, *(5 * i % ours.vocab_size for i in range(11))]
    for source in ([4, 9, 12, 1], [(3 * i + 4) % ours.vocab_size for i in range(16)]):
        ours.reset()
        ours.encode_source(source)
        wanted = f"{ours.digest(ours.read_prompt(answer)):016x}"
        done = run(runner, "answer", pte, pad, len(source), *source, *answer)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["digest", wanted]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "modernbert", "minilm"])
def test_encoders(family: str, runner: Path, tmp_path: Path) -> None:
    folder = str(make_encoder(family, tmp_path / "checkpoint"))
    options = CompileOptions(encoder_length(family))
    project = generate(GenerateRequest("host", options, model=folder, output=tmp_path / "host")).project
    pte, built = project / "model" / "model.pte", build(project, "host").library
    assert built is not None
    ours = HostModel(built)
    steps = made_up_inputs([(memory.dtype.name, memory.size) for memory in ours.inputs], 7, 3)
    given = tmp_path / "inputs"
    given.write_bytes(b"".join(value.tobytes() for step in steps for value in step))
    done = run(runner, "tensors", pte, given, 0)
    assert done.returncode == 0, done.stderr
    wanted = ours.digest([output for step in steps for output in ours.run(step)])
    assert done.stdout.split() == ["digest", f"{wanted:016x}"]


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_runner(tmp_path_factory.mktemp("runner") / "sanitized", sanitize=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "flips"), [("decoder", 2000), ("encoder", 500), ("arithmetic", 500), ("convolutions", 500)]
)
def test_damaged_files_are_refused_and_reach_nothing_that_is_not_theirs(
    kind: str,
    flips: int,
    sanitized: Path,
    checkpoint: Callable[[str], Path],
    stock_model: Callable[[str], Stock],
    tmp_path: Path,
) -> None:
    """What the runtime itself stumbles over (it calls kernels that it does not have) is not ours; nothing of ours may."""
    if kind in ("decoder", "encoder"):
        made = (
            checkpoint("llama-gqa-untied") if kind == "decoder" else make_encoder("bert", tmp_path / "bert")
        )
        options = CompileOptions(40 if kind == "decoder" else encoder_length("bert"))
        request = GenerateRequest("host", options, model=str(made), output=tmp_path / "host")
        pte = generate(request).project / "model" / "model.pte"
    else:
        pte = stock_model(kind).pte
    environment = os.environ | {"ASAN_OPTIONS": "exitcode=77:detect_leaks=0:allocator_may_return_null=1"}
    done = subprocess.run(
        [str(sanitized), "flip", str(pte), "1", str(flips)],
        capture_output=True,
        text=True,
        errors="replace",  # names in a damaged file
        timeout=3000,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    print(f"{kind}: {done.stdout}", end="")
    counts = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", done.stdout)}
    assert sum(counts.values()) == flips
    assert counts["refused"] > flips // 4 and counts["ran"] > flips // 20
    assert re.search("(mcu|cortex_m|aten)::\\S+: ", done.stderr)  # some were refused by wrappers of ours
    assert (
        "runtime error:" not in done.stderr
    )  # undefined behaviour: only our code is compiled to look for it
    reports = re.findall(r"^==\d+==ERROR: AddressSanitizer.*?^SUMMARY", done.stderr, re.MULTILINE | re.DOTALL)
    for report in reports:
        frames = re.findall(r"^ *#[0-3] .*$", report, re.MULTILINE)
        assert not any(re.search(r"mcu_|mcu::|\./sdk/|operators\.cpp", frame) for frame in frames), report


@pytest.mark.slow
def test_the_bundled_model_computes_the_same_bits_and_says_the_same(library: Path, tmp_path: Path) -> None:
    project = generate(GenerateRequest("host", output=tmp_path / "host")).project
    built = build(project, "host")
    pte = project / "model" / "model.pte"

    ours, theirs = python(STEPS, library, pte, built.library).split()
    assert ours == theirs

    tokenizer = resources.bundled_model() / "tokenizer.json"
    said = python(RUNNER, library, pte, tokenizer, PROMPT, TOKENS).rpartition("said:")[2]
    wanted = host.run(built.program, Request(text=PROMPT, tokens=TOKENS)).text
    assert said.strip() == wanted.removeprefix(PROMPT).strip() and len(said) > TOKENS
