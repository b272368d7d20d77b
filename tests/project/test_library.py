"""A model as a library: names that share and do not collide, memory of its own or the caller's, and what is refused."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk import cli
from mcu_sdk.errors import UsageError
from mcu_sdk.model.text_encoder import TextEncoder
from mcu_sdk.planning.kernel_files import kernels
from mcu_sdk.planning.language_model import EncoderSide, LanguageModel
from mcu_sdk.project.library import Library, archive_sizes, check_name, library_prefix, stated_stack
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"
Inputs = Callable[..., ProjectInputs]
Capture = pytest.CaptureFixture[str]

KERNELS = ["kernels/linear/linear_s8.cpp", "kernels/quantize/quantize.cpp"]


def library(name: str, optimize: str = "speed") -> Library:
    return Library.of(name, optimize, is_language_model=True, has_tokenizer=True)  # type: ignore[arg-type]


# ---- names


def test_the_same_kernel_has_one_name_in_every_model() -> None:
    one, other = library("keyword-spotter").renames(KERNELS), library("writer").renames(KERNELS[:1])
    shared = one.keys() & other.keys()
    same = {name for name in shared if one[name] == other[name]}
    assert {"mcu_linear_s8", "mcu_sample", "mcu_argmax"} <= same
    assert shared - same == {
        "mcu_model_pte", "mcu_tokenizer", "mcu_tokenizer_present", "mcu_tokenizer_encode", "mcu_tokenizer_decode",
        "mcu_tokenizer_encode_plain", "mcu_tokenizer_encode_texts", "mcu_tokenizing", "text_inputs_fill"
    }  # fmt: skip
    assert all(re.fullmatch(r"mcu_\w+_[0-9a-f]{8}", one[name]) for name in same)
    assert all(one[name].startswith("mcu_keyword_spotter_") for name in shared - same)
    assert len(set(one.values())) == len(one)


def test_a_kernel_of_another_content_has_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For size instead of speed; and a version whose kernel, or a header below it, is another."""
    before = library("writer").renames(KERNELS)
    for_size = library("writer", "size").renames(KERNELS)
    assert before["mcu_linear_s8"] != for_size["mcu_linear_s8"]
    read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read(path) + (b"//" if path.name == "sums.h" else b"")
    )
    after = library("writer").renames(KERNELS)
    assert after["mcu_linear_s8"] != before["mcu_linear_s8"]
    assert after["mcu_quantize"] == before["mcu_quantize"]  # it does not include what changed


def test_every_kernel_is_renamed() -> None:
    every = [declared.header for declared in kernels().values()]
    assert {f"mcu_{name}" for name in kernels()} <= library("x").renames(every).keys()


@pytest.mark.parametrize("name", ["copy", "tokenizer", "sample", "choose", "grammar", "quantize"])
def test_a_name_that_a_kernel_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"mcu_{name}"):
        check_name(library(name))


def test_other_names_are_taken() -> None:
    for name in ("model", "linear", "int", "main", "keyword-spotter", "model-1"):
        check_name(library(name))


# ---- projects


def test_a_library_has_no_program_of_the_users(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(format="library", name="Key word"), tmp_path / "p")
    assert not (project / "app").exists()
    assert library_prefix(project) == "mcu_key_word" and stated_stack(project, "mcu_key_word") is None
    stated = render_project(tiny_inputs(format="library", name="x", library_stack=808), tmp_path / "x")
    assert stated_stack(stated, "mcu_x") == 808
    header = (stated / "include/mcu_x.h").read_text()
    assert "mcu_x_step(int32_t token)" in header and "#define MCU_X_VOCAB_SIZE 16" in header
    assert library_prefix(render_project(tiny_inputs(), tmp_path / "firmware")) is None


def test_a_project_keeps_its_format(tmp_path: Path, capsys: Capture) -> None:
    model = f"--pte={FIXTURES / 'stock-mlp.pte'}"
    command = ["generate", "--board=host", model, f"--output={tmp_path / 'p'}"]
    assert cli.run([*command, "--format=library", "--name=mlp"]) == 0
    assert cli.run(["regenerate", str(tmp_path / "p")]) == 0
    assert (tmp_path / "p/include/mcu_mlp.h").is_file()
    assert cli.run(command) == 2
    assert "of the format library" in " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_a_library_is_refused_at_once(tmp_path: Path, capsys: Capture) -> None:
    command = ["generate", "--board=corstone-300", "--format=library", f"--output={tmp_path / 'p'}"]
    assert cli.run([*command, "--target=ethos-u55-128"]) == 2
    assert "on the processor" in " ".join(capsys.readouterr().err.split())
    assert cli.run([*command, f"--pte={FIXTURES / 'ethos-u-mlp.pte'}"]) == 2
    assert "on the processor" in " ".join(capsys.readouterr().err.split())
    assert cli.run([*command, "--stop=."]) == 2
    assert "program ends its answers itself" in " ".join(capsys.readouterr().err.split())
    assert cli.run([*command, "--name=copy", f"--pte={FIXTURES / 'stock-mlp.pte'}"]) == 2
    assert "mcu_copy" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


# ---- sizes


def test_bytes_of_an_archive_by_kind() -> None:
    text = """
Discarded input sections

 .text.unused   0x00000000       0x40 libmcu_x.a(plan.cpp.obj)

Linker script and memory map

 .text.mcu_x_step
                0x00000100       0x20 libmcu_x.a(api.cpp.obj)
 .text.main     0x00000120      0x400 CMakeFiles/firmware.dir/main.c.obj
 .text.other    0x00000120      0x400 libmcu_xy.a(api.cpp.obj)
 .rodata.mcu_x.weights
                0x00000200       0x80 a/libmcu_x.a(model_data.S.obj)
 .rodata.kTable 0x00000300       0x0c libmcu_x.a(plan.cpp.obj)
 .bss.mcu_x.arena
                0x20000000      0x100 libmcu_x.a(plan.cpp.obj)
 .bss.position  0x20000100        0x4 libmcu_x.a(api.cpp.obj)
 .debug_info    0x00000000      0x999 libmcu_x.a(api.cpp.obj)
"""
    assert archive_sizes(text, "mcu_x") == {
        "weights": 0x80, "tokenizer": 0, "code": 0x2C, "arena": 0x100, "kv_cache": 0, "variables": 4
    }  # fmt: skip


# ---- the caller's memory

LISTS = """
cmake_minimum_required(VERSION 3.21)
project(user LANGUAGES CXX ASM)
set(CMAKE_BUILD_TYPE Debug)
set(CMAKE_CXX_FLAGS "-ffast-math -fsanitize=address,undefined -fno-sanitize-recover=all")
set(MCU_TINY_CALLERS_BUFFERS ON)
add_subdirectory(tiny)
add_executable(user main.cpp)
target_compile_features(user PRIVATE cxx_std_17)
target_link_libraries(user PRIVATE mcu::tiny)
"""

MAIN = """
#include <stdio.h>
#include "mcu_tiny.h"

alignas(MCU_TINY_ALIGNMENT) static unsigned char arena[MCU_TINY_ARENA_BYTES];
alignas(MCU_TINY_ALIGNMENT) static unsigned char caches[2][(MCU_TINY_KV_CACHE_BYTES + 63) / 64 * 64];

static void say(const float* logits) {
    unsigned long long value = 0xcbf29ce484222325u;
    const unsigned char* byte = reinterpret_cast<const unsigned char*>(logits);
    for (size_t i = 0; i < sizeof(float) * mcu_tiny::kVocabSize; ++i) value = (value ^ byte[i]) * 0x100000001b3u;
    printf("%016llx\\n", value);
}

int main() {
    if (mcu_tiny::step(1) != nullptr) return 1;  // nothing is attached yet
    if (mcu_tiny::attach(arena + 4, caches[0]) || mcu_tiny::attach(nullptr, caches[0])) return 2;
    for (auto& cache : caches) {
        if (!mcu_tiny::attach(arena, cache)) return 3;
        mcu_tiny::reset();
    }
    // Two texts by turns, each with a cache of its own.
    const int32_t texts[2][3] = {{1, 2, 3}, {4, 5, 6}};
    for (int32_t i = 0; i < 3; ++i) {
        for (int32_t text = 0; text < 2; ++text) {
            mcu_tiny::attach(arena, caches[text]);
            say(mcu_tiny::step_at(texts[text][i], i));
        }
    }
    if (mcu_tiny::step(16) != nullptr || mcu_tiny::step(-1) != nullptr) return 4;  // no tokens
    if (mcu_tiny::room() != 12 - 3 || !mcu_tiny::is_end(15) || mcu_tiny::is_end(14)) return 5;
    if (mcu_tiny::step_at(1, 12) != nullptr || mcu_tiny::step_at(1, -1) != nullptr) return 6;
    while (mcu_tiny::step(1) != nullptr) {
    }
    return mcu_tiny::room();
}
"""


def test_two_texts_in_memory_of_the_callers(
    tmp_path: Path, tiny_inputs: Inputs, tiny_project: Path, on_host: Callable[[Path, bytes], bytes]
) -> None:
    """In a program that is compiled for fast math, with sanitizers; what each text gives is what it gives alone."""
    render_project(tiny_inputs("host", format="library"), tmp_path / "tiny")
    (tmp_path / "CMakeLists.txt").write_text(LISTS)
    (tmp_path / "main.cpp").write_text(MAIN)
    for command in (["cmake", "-G", "Ninja", "-B", "build"], ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=120)
    done = subprocess.run([tmp_path / "build/user"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    digests = done.stdout.split()
    assert len(digests) == 6
    # The host's program digests all steps of a run together: those of one step can be told alone.
    for text, first in ((1, digests[0]), (4, digests[1])):
        answer = on_host(
            tiny_project / "build/host/firmware", f"@run tokens=1 temperature=0 ids={text}\n\x04".encode()
        )
        assert f"@mcu digest={first}\n".encode() in answer


# ---- an encoder

ASKER = """
#include <stdio.h>
#include "mcu_asker.h"

alignas(MCU_ASKER_ALIGNMENT) static unsigned char arena[MCU_ASKER_ARENA_BYTES];
alignas(MCU_ASKER_ALIGNMENT) static unsigned char cache[64];

static bool ask(const int32_t* ids, int32_t count) {
    mcu_asker::reset();
    if (!mcu_asker::read_source(ids, count) || mcu_asker::begin() == nullptr) return false;
    const float* logits = mcu_asker::step(4);
    if (mcu_asker::room() != 12 - 3) return false;
    for (int32_t i = 0; i < mcu_asker::kVocabSize; ++i) printf("%a ", double(logits[i]));
    printf("\\n");
    return true;
}

// The token that is chosen where one is made likely.
static int32_t chosen(int32_t likely) {
    const mcu_asker::Bias bias = {likely, 100.0f};
    mcu_asker::Sampling how = MCU_ASKER_SAMPLING_DEFAULTS;
    how.biases = &bias;
    how.bias_count = 1;
    uint64_t random = 1;
    mcu_asker::step(1);
    return mcu_asker::choose(how, nullptr, 0, &random);
}

int main() {
    const int32_t source[] = {1, 2, 3, 4, 16};
    if (mcu_asker::read_source(source, 1)) return 1;  // nothing is attached yet
    if (!mcu_asker::attach(arena, cache)) return 2;
    mcu_asker::reset();
    if (mcu_asker::begin() != nullptr || mcu_asker::step(1) != nullptr) return 3;  // nothing was read yet
    if (mcu_asker::read_source(source, 0) || mcu_asker::read_source(source, 5)) return 4;
    if (mcu_asker::read_source(source + 4, 1)) return 5;  // no token
    if (!ask(source, 2) || !ask(source + 2, 1) || !ask(source, 2)) return 6;
    mcu_asker::begin();
    if (chosen(8) == 8 || chosen(8) != 8 || chosen(7) == 7 || chosen(6) != 6) return 7;
    mcu_asker::begin();
    if (chosen(9) == 9 || chosen(9) != 9) return 8;
    if (!mcu_asker::attach(arena, cache) || mcu_asker::begin() != nullptr) return 9;  // of what, is not known
    return 0;
}
"""

_ENCODE = """[](const int64_t* ids, const int64_t* counts, float* state) {
        state[1] = 0.0f;
        for (int32_t i = 0; i < 4; ++i) state[1] += static_cast<float>(counts[i] * (ids[i] + 1));
    }"""
_ASK = """[](const int64_t* id, const int64_t* position, const int64_t* last, float* state, float* logits) {
        state[0] += static_cast<float>(*id + 1) / static_cast<float>(*position + 3);
        for (int32_t i = 0; i < 16; ++i) logits[i] = state[0] * static_cast<float>(*last + i) - state[1];
    }"""


def asked_plan(tiny_plan: Any) -> Any:
    """Of a decoder whose logits depend on the last of four tokens that its encoder read, and on all that count."""
    plain = tiny_plan().to_template()
    ids, position = plain["inputs"]

    def at(offset: int, count: int) -> dict[str, Any]:
        more = {"pointer": f"arena<int64_t>({offset})", "offset": offset, "shape": [1, count]}
        return {**ids, **more, "elements": count, "bytes": 8 * count}

    def call(function: str, *arguments: str) -> list[dict[str, Any]]:
        return [{**plain["calls"][1], "function": function, "arguments": list(arguments), "buffers": []}]

    addresses = ["arena<int64_t>(0)", "arena<int64_t>(16)", "arena<int64_t>(24)"]
    encoder = {"inputs": [at(128, 4), at(160, 4)], "outputs": [], "buffers": []}
    encoder["calls"] = call(_ENCODE, "arena<int64_t>(128)", "arena<int64_t>(160)", "kv_cache<float>(0)")
    extra = {
        "inputs": [ids, position, at(24, 1)],
        "encoder": encoder,
        "arena_bytes": 192,
        "scratch_offset": 192,
    }
    calls = call(_ASK, *addresses, "kv_cache<float>(0)", "arena<float>(64)")
    return tiny_plan(extra={**extra, "calls": calls})


def test_answers_about_what_an_encoder_read(tmp_path: Path, tiny_inputs: Inputs, tiny_plan: Any) -> None:
    """In memory of the caller's, with sanitizers: nothing before it has read, one answer for one source, and the tokens that
    are never chosen, or not first."""
    model = LanguageModel(
        16, 12, eos_ids=(15,), encoder=EncoderSide((3, 5), 4), suppressed=(7,), first_suppressed=(8, 9)
    )
    inputs = tiny_inputs(
        "host", format="library", name="asker", plan=asked_plan(tiny_plan), language_model=model
    )
    render_project(inputs, tmp_path / "asker")
    (tmp_path / "CMakeLists.txt").write_text(LISTS.replace("MCU_TINY", "MCU_ASKER").replace("tiny", "asker"))
    (tmp_path / "main.cpp").write_text(ASKER)
    for command in (["cmake", "-G", "Ninja", "-B", "build"], ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=120)
    done = subprocess.run([tmp_path / "build/user"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    first, other, again = (
        [float.fromhex(word) for word in line.split()] for line in done.stdout.splitlines()
    )
    state = 4 / 3 + 6 / 4 + 5 / 5  # tokens 3, 5 and 4
    assert first == again == pytest.approx([state * (1 + i) - 5 for i in range(16)])
    assert other == pytest.approx([state * i - 4 for i in range(16)])
    archive = tmp_path / "build/asker/libmcu_asker.a"
    listing = subprocess.run(["nm", archive], capture_output=True, text=True, check=True, timeout=60).stdout
    defined = re.findall(r"^[0-9a-f]+ [TVW] (\S+)$", listing, re.MULTILINE)
    own = re.compile(r"(_Z\d+)?mcu_asker_|_ZN\d+mcu_asker(4plan|_tokenizing)|mcu_\w+_[0-9a-f]{8}$")
    assert len(defined) > 10 and not [name for name in defined if not own.match(name)]


# ---- texts

READER = """
#include <stdio.h>
#include <string.h>
#include "mcu_reader.h"

alignas(MCU_READER_ALIGNMENT) static unsigned char arena[MCU_READER_ARENA_BYTES];

int main() {
    const char text[] = "turn on the red lamp", pair[] = "where is a lamp";
    int32_t dropped = -1;
    if (mcu_reader_input_text(text, 4, nullptr, 0, &dropped) != -4) return 1;  // nothing is attached yet
    if (!mcu_reader::attach(arena, nullptr)) return 2;
    mcu_reader::reset();
    if (mcu_reader::input_text("\\xff", 1) != -2) return 3;
    const int32_t count = mcu_reader_input_text(text, sizeof text - 1, pair, sizeof pair - 1, &dropped);
    printf("%d %d\\n", int(count), int(dropped));
    for (int32_t input = 0; input < MCU_READER_INPUTS; ++input) {
        const mcu_reader::Tensor tensor = mcu_reader::input(input);
        for (size_t i = 0; i < tensor.elements; ++i) {
            int64_t value;
            memcpy(&value, static_cast<const char*>(tensor.data) + i * sizeof value, sizeof value);
            printf("%d ", int(value));
        }
        printf("\\n");
    }
    return mcu_reader::step() ? 0 : 4;
}
"""


@pytest.mark.slow
def test_a_text_becomes_the_inputs(tmp_path: Path) -> None:
    """In memory of the caller's, with sanitizers: what the `tokenizers` library makes of two texts."""
    from tests.text_checkpoints import make_text_encoder

    checkpoint = make_text_encoder("bert", tmp_path)
    command = ["generate", "--board=host", f"--model={checkpoint}", "--max-cache-len=9", "--format=library"]
    assert cli.run([*command, "--name=reader", f"--output={tmp_path / 'reader'}"]) == 0
    (tmp_path / "CMakeLists.txt").write_text(
        LISTS.replace("MCU_TINY", "MCU_READER").replace("tiny", "reader")
    )
    (tmp_path / "main.cpp").write_text(READER)
    for step in (["cmake", "-G", "Ninja", "-B", "build"], ["cmake", "--build", "build"]):
        subprocess.run(step, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=120)
    done = subprocess.run([tmp_path / "build/user"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    numbers, *rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    encoded = TextEncoder(checkpoint / "tokenizer.json", 9, 1000).encode(
        "turn on the red lamp", "where is a lamp"
    )
    assert numbers == [len(encoded.ids), encoded.dropped]
    assert list(encoded.ids) in rows and list(encoded.types) in rows and [1] * 9 in rows
