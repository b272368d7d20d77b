"""Damaged .pte files, all the way: what is not refused compiles, and runs without a sanitizer's complaint.

A damaged model may say anything; it may not make the SDK stumble, nor the firmware touch memory that is not its own
or compute what C++ does not define.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import McuSdkError, PteError
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.options import CompileOptions
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.instruction import DType, Tensor
from mcu_sdk.planning.language_model import LanguageModel, describe_language_model
from mcu_sdk.planning.plan import Plan, compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.recipes.checkpoint import compile_checkpoint
from mcu_sdk.targets.protocol import EOT, Listener, News, Request, Transcript

NUMBER = 1
LENGTH = 16
PROMPT = (1, 5, 7)
TOKENS = LENGTH - len(PROMPT) + 1  # to the cache's end

OPTIONS = [
    pytest.param(CompileOptions(LENGTH, "dynamic", "calibrated"), id="dynamic-calibrated"),
    pytest.param(CompileOptions(LENGTH, "static", "dynamic"), id="static-dynamic", marks=pytest.mark.slow),
]


@dataclass(frozen=True)
class Compiled:
    """A .pte that was not refused."""

    data: bytes
    pte: Pte
    plan: Plan
    language_model: LanguageModel | None

    @property
    def rendered(self) -> tuple[dict[str, Any], LanguageModel | None]:
        """All that the generated sources are made of but the file's hash."""
        return {**self.plan.to_template(), "model_hash": ""}, self.language_model


def compile_pte(data: bytes) -> Compiled | None:
    """None if the file is refused. Any other exception fails the test."""
    try:
        pte = read_pte(data)
        plan = compile_plan(pte)
        return Compiled(data, pte, plan, describe_language_model(plan))
    except McuSdkError as error:
        assert error.exit_code == 3 and str(error).isprintable()
        return None


class Workshop:
    """One host project with sanitizers, into which damaged models go; only what they change is built again."""

    def __init__(self, original: Compiled, folder: Path) -> None:
        self.original = original
        self.healthy: str | None = None  # the digest of what it computes
        self._folder = folder
        self._project = folder / "project"
        self._hash = sha256(original.data).hexdigest()
        self._update(original)
        flags = (self._project / "CMakeLists.txt").read_text(encoding="utf-8")
        # What `undefined` leaves out, and damaged constants lead to: NaN and infinity converted to integers.
        assert "-fsanitize=address,undefined,float-cast-overflow" in flags

    def run(self, compiled: Compiled, tokens: int = TOKENS) -> Transcript:
        """Build the model and run it: its transcript, with a verdict."""
        self._update(compiled)
        request = Request(ids=PROMPT, tokens=tokens, past_end=True)
        if compiled.language_model is None:  # the damage has made it an ordinary model
            request = Request(steps=3, seed=1)
        program = build(self._project, "host-debug").program
        finished = subprocess.run(
            [program],
            input=request.encode(NUMBER) + bytes((EOT,)),
            capture_output=True,
            env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"},
            timeout=60,
            check=False,
        )
        said = finished.stderr.decode("utf-8", "replace")
        assert finished.returncode == 0 and not said, said
        listener = Listener(NUMBER)
        assert listener.feed(finished.stdout)[-1] is News.ANSWERED
        transcript = listener.transcript()
        assert transcript.verdict in ("ok", "error")
        return transcript

    def _update(self, compiled: Compiled) -> None:
        """Write the files of the compiled model's project that differ from those of the last one.

        The hash stays the first model's: nothing depends on it but the time that a build takes.
        """
        fresh = self._folder / "fresh"
        _render(compiled, fresh)
        for file in fresh.rglob("*"):
            if file.is_dir():
                continue
            content = file.read_bytes()
            if file.name == "model.h":
                content = content.replace(sha256(compiled.data).hexdigest().encode(), self._hash.encode())
            kept = self._project / file.relative_to(fresh)
            if not kept.is_file() or kept.read_bytes() != content:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(content)


def _render(compiled: Compiled, destination: Path) -> None:
    board = load_board("host")
    plan = compiled.plan
    layout = Layout()
    # app/ belongs to the user and is written once; what it calls depends on the kind of model.
    shutil.rmtree(destination / "app", ignore_errors=True)
    inputs = ProjectInputs(
        name="damaged",
        board=board,
        layout=layout,
        plan=plan,
        pte=compiled.data,
        language_model=compiled.language_model,
    )
    render_project(inputs, destination)


@pytest.fixture(scope="module", params=OPTIONS)
def workshop(
    request: pytest.FixtureRequest,
    checkpoint: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Workshop:
    """The undamaged model's, which runs."""
    folder = checkpoint("llama-odd")
    compiled = compile_pte(compile_checkpoint(find_checkpoint(str(folder)), request.param).pte)
    assert compiled is not None
    workshop = Workshop(compiled, tmp_path_factory.mktemp("damaged"))
    transcript = workshop.run(compiled)
    assert transcript.verdict == "ok" and len(transcript.ids) == TOKENS
    workshop.healthy = transcript.digest
    return workshop


def first_constant(pte: Pte) -> int:
    """Where the program ends and the constants begin."""
    return min(tensor.offset for tensor in pte.constants)


def flips(original: Compiled, count: int) -> Iterator[bytes]:
    """The file with one byte changed; nine times of ten within the program, which is an eighth of the file."""
    generator = random.Random(f"{count} flips")
    program = first_constant(original.pte)
    for _ in range(count):
        data = bytearray(original.data)
        end = program if generator.random() < 0.9 else len(data)
        data[generator.randrange(end)] ^= generator.randrange(1, 256)
        yield bytes(data)


@pytest.mark.parametrize("count", [50, pytest.param(4_000, marks=pytest.mark.slow)])
def test_flips_are_refused_or_run(workshop: Workshop, count: int) -> None:
    """Every flip is read and compiled; every one that compiles to something new is built and run: about 1 in 100."""
    original = workshop.original
    seen = [original.rendered]
    refused = 0
    for data in flips(original, count):
        compiled = compile_pte(data)
        if compiled is None:
            refused += 1
        elif compiled.rendered not in seen:
            seen.append(compiled.rendered)
            workshop.run(compiled)
    assert count / 4 < refused < count
    assert len(seen) > count / 200


@pytest.mark.parametrize("length", [0, LENGTH - 1, LENGTH + 1, 5 * LENGTH, 1 << 25, 1 << 31, 1 << 40])
def test_another_context_length(workshop: Workshop, length: int) -> None:
    """The metadata may say less than the cache holds, which runs to that end, or nothing; more is refused."""
    data = workshop.original.data
    places = [
        place
        for place in range(first_constant(workshop.original.pte))
        if data[place : place + 8] == LENGTH.to_bytes(8, "little")
    ]
    found = 0
    for place in places:
        changed = data[:place] + length.to_bytes(8, "little") + data[place + 8 :]
        try:
            if read_pte(changed).metadata.get("get_max_seq_len") != length:
                continue
        except PteError:  # an offset of 16 and not the metadata
            continue
        found += 1
        compiled = compile_pte(changed)
        if length > LENGTH:
            assert compiled is None
        elif length == 0:
            assert compiled is not None and compiled.language_model is None
        else:
            assert compiled is not None
            transcript = workshop.run(compiled, tokens=TOKENS + length - LENGTH)
            assert transcript.verdict == "ok" and len(transcript.ids) == TOKENS + length - LENGTH
    assert found == 1


def constants_by_role(compiled: Compiled) -> dict[tuple[str, int], Tensor]:
    """One constant for each place that constants have among operators' arguments, such as ("mcu::rms_norm", 1)."""
    roles: dict[tuple[str, int], Tensor] = {}
    for instruction in compiled.pte.instructions:
        for place, argument in enumerate(instruction.arguments):
            if isinstance(argument, Tensor) and argument.is_constant:
                roles.setdefault((instruction.operator, place), argument)
    return roles


def run_with(workshop: Workshop, data: bytearray) -> Transcript | None:
    """The transcript of a model of which only constants were changed; None if it is refused."""
    compiled = compile_pte(bytes(data))
    if compiled is None:
        return None
    assert compiled.rendered == workshop.original.rendered
    return workshop.run(compiled)


@pytest.mark.slow
def test_flips_in_the_constants_run(workshop: Workshop) -> None:
    """One byte in a constant of each role: of a float the one that makes it huge, infinite or no number at all."""
    original = workshop.original
    roles = constants_by_role(original)
    assert len(roles) >= 8 and {tensor.dtype for tensor in roles.values()} >= {DType.S8, DType.F32}
    changed = 0
    for (operator, place), tensor in sorted(roles.items()):
        element = random.Random(f"{operator} {place}").randrange(min(tensor.elements, 4))
        data = bytearray(original.data)
        last = tensor.offset + (element + 1) * tensor.dtype.size - 1
        data[last] |= 0x7F
        assert bytes(data) != original.data
        transcript = run_with(workshop, data)
        changed += transcript is not None and transcript.digest != workshop.healthy
    assert changed > len(roles) / 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3.4e38, 0.0])
def test_constants_of_one_value_run(workshop: Workshop, value: float) -> None:
    """Every float constant at once: scales, norms, tables."""
    data = bytearray(workshop.original.data)
    for tensor in workshop.original.pte.constants:
        if tensor.dtype is DType.F32:
            struct.pack_into(f"<{tensor.elements}f", data, tensor.offset, *[value] * tensor.elements)
    transcript = run_with(workshop, data)
    assert transcript is not None and transcript.verdict == "ok" and len(transcript.ids) == TOKENS
    assert transcript.digest != workshop.healthy
