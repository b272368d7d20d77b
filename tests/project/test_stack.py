"""The bound on the stack: read from known disassembly, checked against code that the compiler measured, and in builds."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk import resources
from mcu_sdk.board.board import load_board
from mcu_sdk.board.toolchain import TOOLCHAINS
from mcu_sdk.errors import BuildError, DoesNotFitError
from mcu_sdk.model import code_map
from mcu_sdk.model.device_tokenizer import DeviceTokenizer
from mcu_sdk.model.normalizer_steps import Map, Reorder
from mcu_sdk.model.pattern.automaton import compile_pattern
from mcu_sdk.model.tokenizer_parts import WordPiece
from mcu_sdk.model.tokenizer_tables import PATTERN, SET
from mcu_sdk.model.vocabulary import Vocabulary
from mcu_sdk.project.build import build
from mcu_sdk.project.compile_flags import cxx_flags
from mcu_sdk.project.library import SECTIONS
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.project.stack import Function, deepest, read_functions, registers_bytes, stack_bound
from mcu_sdk.project.templates import environment
from tests.split_patterns import PATTERNS

SOURCE = """
extern "C" {
int observe(void*);
__attribute__((noinline)) int leaf(int n) { volatile char buffer[200]; buffer[n] = 1; return buffer[0]; }
__attribute__((noinline)) int middle(int n) { volatile double kept[10]; kept[n] = n; return leaf(n) + int(kept[0]); }
int top(int n) { volatile int kept[3]; kept[0] = middle(n); return kept[0] + leaf(n + 1); }
int tail(int n) { return middle(n); }
__attribute__((noinline)) int endless(int n) { return n > 0 ? leaf(endless(n - 1)) + n : 1; }
__attribute__((noinline)) int aligned(int n) { alignas(32) volatile char kept[64]; kept[n] = 1; return kept[n + 1]; }
int sized(int n) { char buffer[n]; return observe(buffer); }
int observe(void* p) { return *static_cast<volatile char*>(p); }
}
"""


@pytest.fixture(scope="module", params=TOOLCHAINS)
def compiled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, int]]:
    """An ELF file, and the compiler's own count of each function's frame (-fstack-usage)."""
    tools = TOOLCHAINS[request.param]
    assert tools.compiler, tools.install
    folder = tmp_path_factory.mktemp("stack")
    (folder / "a.cpp").write_text(SOURCE)
    flags = [
        "-mcpu=cortex-m55",
        "-mfloat-abi=hard",
        "-O2",
        "-fno-optimize-sibling-calls",
        "-fstack-usage",
        "-nostdlib",
    ]
    subprocess.run(
        [tools.compiler, *tools.target, *flags, "-c", "a.cpp", "-o", "a.o"],
        cwd=folder,
        check=True,
        timeout=60,
    )
    subprocess.run(
        ["arm-none-eabi-g++", *flags, "a.o", "-Wl,-etop", "-o", "a.elf"], cwd=folder, check=True, timeout=60
    )
    usage = re.findall(r"\b(\w+)(?:\(.*\))?\t(\d+)\t", (folder / "a.su").read_text())
    return folder / "a.elf", {name: int(size) for name, size in usage}


def test_frames_are_the_compilers_own(compiled: tuple[Path, dict[str, int]]) -> None:
    elf, usage = compiled
    assert stack_bound(elf, "leaf").bytes == usage["leaf"] >= 200
    assert stack_bound(elf, "middle").bytes == usage["middle"] + usage["leaf"]
    top = stack_bound(elf, "top")
    assert top.bytes == usage["top"] + usage["middle"] + usage["leaf"]
    assert top.chain == ("top", "middle", "leaf")
    assert stack_bound(elf, "tail").chain == ("tail", "middle", "leaf")
    aligned = stack_bound(elf, "aligned").bytes
    assert aligned is not None and usage["aligned"] <= aligned <= usage["aligned"] + 32


def test_what_has_no_bound_says_why(compiled: tuple[Path, dict[str, int]]) -> None:
    elf, _ = compiled
    assert stack_bound(elf, "sized").bytes is None and "variable size" in stack_bound(elf, "sized").reason
    assert stack_bound(elf, "endless").reason == "endless calls itself"
    endless = deepest({"a": Function(8, {"b"}), "b": Function(8, {"a"})}, "a")
    assert endless.bytes is None and endless.reason == "a calls itself"
    with pytest.raises(BuildError, match="no function nowhere"):
        stack_bound(elf, "nowhere")


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("push\t{r4, lr}", 8),
        ("stmdb\tsp!, {r4, r5, r6, r7, r8, r9, sl, fp, lr}", 36),
        ("vpush\t{d8-d15}", 64),
        ("vpush\t{s16}", 4),
        ("sub\tsp, #12", 12),
        ("sub.w\tsp, sp, #1032\t; 0x408", 1032),
        ("subw\tsp, sp, #2052", 2052),
        ("str.w\tlr, [sp, #-4]!", 4),
        ("strd\tr4, lr, [sp, #-16]!", 16),
        ("add\tsp, #12", 0),
        ("ldr.w\tpc, [sp], #4", 0),
        ("str\tr0, [sp, #4]", 0),
        ("subs\tr0, #4", 0),
    ],
)
def test_every_way_to_lower_the_stack_pointer(line: str, size: int) -> None:
    found = read_functions(f"00000000 <f>:\n   0:\t{line}\n")["f"]
    assert (found.frame, found.unbounded, found.calls) == (size, False, set())


@pytest.mark.parametrize(
    ("lines", "frame", "unbounded"),
    [
        (("sub sp, #80", "mov r4, sp", "bfc r4, #0, #5", "mov sp, r4", "sub.w r4, r7, #8", "mov sp, r4"), 80 + 28, False),
        (("sub.w r4, sp, #40", "bfc r4, #0, #4", "mov sp, r4"), 40 + 12, False),
        (("sub.w r4, sp, #40", "bic.w r4, r4, #15", "mov sp, r4"), 40 + 15, False),
        (("push {r4, r7, lr}", "mov sp, r7"), 12, False),
        (("sub.w r0, sp, r0", "mov sp, r0"), 0, True),
        (("mov r4, sp", "ldr r4, [r0]", "mov sp, r4"), 0, True),
        (("mov sp, r0",), 0, True),
    ],
)  # fmt: skip
def test_a_stack_pointer_that_is_aligned(lines: tuple[str, ...], frame: int, unbounded: bool) -> None:
    listing = "".join(f"   0:\t{line.replace(' ', chr(9), 1)}\n" for line in lines)
    found = read_functions(f"00000000 <f>:\n{listing}")["f"]
    assert (found.frame, found.unbounded) == (frame, unbounded)


def test_calls_jumps_and_pointers() -> None:
    listing = """
00000010 <f>:
  10:\tbl\t20 <g>
  14:\tbne.n\t10 <f>
  16:\tbeq.w\t30 <h+0x4>
  1a:\tb.w\t40 <last>
  1e:\tcbz\tr0, 12 <f+0x2>
  20:\tblx\tr3
  22:\tbx\tlr
  24:\tsub.w\tsp, sp, r3
"""
    found = read_functions(listing)["f"]
    assert found.calls == {"g", "last"} and found.calls_pointer and found.unbounded


def test_a_pointer_may_be_any_kernel() -> None:
    functions = {
        "main": Function(8, set(), calls_pointer=True),
        "mcu_a": Function(100),
        "mcu_b": Function(40, {"helper"}),
        "helper": Function(70),
        "mcu_above": Function(500, {"product"}),
        "product": Function(20, set(), calls_pointer=True),
        "large": Function(9999),
    }
    assert deepest(functions, "main").bytes == 8 + 110
    assert deepest(functions, "mcu_above").chain == ("mcu_above", "product", "mcu_b", "helper")


@given(st.lists(st.integers(0, 12), min_size=1, max_size=13, unique=True))
def test_register_lists(numbers: list[int]) -> None:
    assert registers_bytes("{" + ", ".join(f"r{n}" for n in numbers) + "}") == 4 * len(numbers)


# ---- in a build


def test_what_ran_is_below_the_bound_and_the_bound_below_the_reserve(
    tiny_project: Path, on_qemu: Callable[..., tuple[int, bytes]]
) -> None:
    built = build(tiny_project)
    assert built.stack is not None and built.stack.bytes is not None and built.sizes is not None
    output = on_qemu(built.program, b"@run tokens=5 temperature=1.5 top_k=4 seed=9 ids=3\n@nonsense\n\x04")[1]
    used = [int(value) for value in re.findall(rb"stack_used=(\d+)", output)]
    assert used and 100 < max(used) <= built.stack.bytes <= built.sizes.stack


def test_a_stack_that_is_too_small_is_refused(
    tmp_path: Path, tiny_inputs: Callable[..., ProjectInputs]
) -> None:
    inputs = tiny_inputs()
    project = render_project(
        replace(inputs, board=inputs.board.model_copy(update={"stack_bytes": 1024})), tmp_path / "p"
    )
    main = project / "app" / "main.cpp"
    main.write_text(
        main.read_text().replace(
            "    console_start();\n",
            "    volatile char buffer[1500];\n    buffer[0] = 0;\n    static_cast<void>(buffer[0]);\n    console_start();\n",
        )
    )
    with pytest.raises(DoesNotFitError, match=r"\d,\d\d\d bytes deep .* 1,024 are reserved"):
        build(project)


def test_the_tokenizer_has_a_bound(tmp_path: Path) -> None:
    """The encoder goes through its stages without recursion; its data are not needed to see that."""
    board, firmware = load_board("mps2-an386"), resources.firmware()
    flags = [*cxx_flags(board), f"-I{firmware}", "-nostdlib"]
    entry = ["-Wl,-emcu_tokenizer_encode", "-Wl,--unresolved-symbols=ignore-all", "-o", "a.elf"]
    gpt2 = PATTERNS["gpt2_short"]
    byte_level = DeviceTokenizer(
        True, stages=((PATTERN, 0),), patterns=((gpt2, compile_pattern(gpt2), False),)
    )
    vocabulary = Vocabulary((b"a",), (0,))
    words = WordPiece(vocabulary, 0, 100, b"##")
    change = code_map.pack({0xC4: "a"})
    word_level = DeviceTokenizer(
        True, stages=((SET, 0),), words=words, steps=(Map(change), Reorder((0x301 << 11,)))
    )
    for number, tokenizer in enumerate((byte_level, word_level)):
        tables = tokenizer.to_template()
        text = (
            environment().get_template("model/tokenizer.cpp.j2").render(tokenizer=tables, sections=SECTIONS)
        )
        (tmp_path / "tables.cpp").write_text(text)
        sources = ["tables.cpp", *(str(firmware / source) for source in tables["sources"])]
        subprocess.run(["arm-none-eabi-g++", *flags, *sources, *entry], cwd=tmp_path, check=True, timeout=60)
        bound = stack_bound(tmp_path / "a.elf", "mcu_tokenizer_encode")
        assert bound.reason == "" and bound.bytes is not None and 100 < bound.bytes < 700, number
