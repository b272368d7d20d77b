"""Format and lint of firmware/ and of what boards/ has in C++: clang-format in check mode, then clang-tidy with each
file's own compiler flags.

Files for boards are read as the cross compiler reads them, with the flags of a board that has them, the others as the
host's. What generated projects add
(model/model.h) is rendered from its template with the numbers of a small model.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
sys.path.insert(0, str(ROOT))

from mcu_sdk.board.board import Board, list_boards, load_board  # noqa: E402
from mcu_sdk.board.toolchain import older_core  # noqa: E402
from mcu_sdk.project.compile_flags import define_flags  # noqa: E402
from mcu_sdk.project.flags import CXX, STANDARD, WARNINGS  # noqa: E402
from tests import official  # noqa: E402

GCC_ONLY = {"-Wconversion", "-fno-threadsafe-statics"}
"""Clang's own takes other conversions for dangerous than GCC's, by which the sources are written; with the second,
clang-tidy takes every declaration of a variable in a header for one with a constructor."""
COMMON = (
    f"-std=c++{STANDARD}",
    *(flag for flag in (*CXX, *WARNINGS) if flag not in GCC_ONLY),
    "-DMCU_HAS_TOKENIZER=1",
)
BOARDS = ROOT / "boards"
OPERATORS = FIRMWARE / "operators"
EXECUTOR = FIRMWARE / "executor"
BOARD_ONLY = ("register_access_mmio.cpp", "register_access_semihosting.cpp")
"""Outside platform/cortex_m, but with the processor's instructions in them."""


def board_of(path: Path) -> Board:
    """A board whose firmware has this file: its own, or one with this driver; corstone-300 otherwise."""
    if BOARDS in path.parents:
        return load_board(path.parent)
    for board in list_boards():
        if board.uart is not None and path.stem == f"uart_{board.uart.driver}":
            return board
    return load_board("corstone-300")


def board_flags(board: Board) -> list[str]:
    """The pinned clang-tidy knows no Cortex-M85 either."""
    return ["--target=arm-none-eabi", *older_core(board.core.flags), *define_flags(board)]


def tool(name: str) -> str:
    """From the virtual environment, whose version is pinned; else from the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        sys.exit(f"error: {name} is not installed. Install it: pip install {name} (or: make setup).")
    return found


def compiler_headers(compiler: str) -> list[str]:
    """The folders in which a GCC looks for system headers: the clang-tidy package has none of its own."""
    result = subprocess.run(
        [compiler, "-x", "c++", "-E", "-v", os.devnull], capture_output=True, text=True, check=True
    ).stderr
    listing = result.split("#include <...> search starts here:")[1].split("End of search list")[0]
    return [flag for folder in listing.split() for flag in ("-isystem", folder)]


def write_model_header(folder: Path) -> None:
    """model/model.h for a language model that does not exist."""
    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"c_string": lambda text: f'"{text}"', "c_bool": lambda value: str(value).lower()}
    text = environment.get_template("model/model.h.j2").render(
        project={"title": "lint"},
        board={"name": "lint"},
        plan={"arena_bytes": 4096, "kv_cache_bytes": 4096, "inputs": [0, 0], "outputs": [0]},
        tokenizer={"present": True},
        grammar={},
        chat={"rewrites": True},
        encoder={"length": 64, "tensors": 2, "mask_input": 1, "pad_id": 0, "start_ids": [0]},
        stops=["1", "10"],
        model={
            "hash": "0" * 64,
            "is_language_model": True,
            "vocab_size": 512,
            "max_sequence_length": 128,
            "rewind_length": 128,
            "sinks": 4,
            "max_text_tokens": 512,
            "prefill_rows": 16,
            "bos_id": 1,
            "eos_ids": [2],
            "suppressed": [3],
            "first_suppressed": [4],
        },
        texts={
            "ids": 0,
            "mask": 1,
            "types": -1,
            "pad_id": 0,
            "bytes": 1024,
            "labels_output": 0,
            "labels": ["no", "yes"],
        },
        profile=True,
        executorch={"methods": []},
        library=None,
        namespace="model",
    )
    (folder / "model").mkdir()
    (folder / "model" / "model.h").write_text(text, encoding="utf-8")
    operators = environment.get_template("executorch/operators/operators.h.j2").render(wrappers=[])
    (folder / "model" / "operators.h").write_text(operators, encoding="utf-8")


def write_intrinsics(folder: Path) -> None:
    """GCC's xmmintrin.h cannot be read by clang; these are the two functions that the host's platform uses."""
    (folder / "xmmintrin.h").write_text(
        'extern "C" unsigned _mm_getcsr();\nextern "C" void _mm_setcsr(unsigned);\n', encoding="utf-8"
    )


def main() -> None:
    sources = sorted(
        path for root in (FIRMWARE, BOARDS) for path in root.rglob("*") if path.suffix in (".cpp", ".h")
    )
    command = [tool("clang-format"), "--dry-run", "-Werror", *map(str, sources)]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit("error: clang-format would change files. Run: clang-format -i FILE")
    host, board = compiler_headers("c++"), compiler_headers("arm-none-eabi-g++")
    with tempfile.TemporaryDirectory() as folder:
        write_model_header(Path(folder))
        write_intrinsics(Path(folder))

        def lint(path: Path) -> subprocess.CompletedProcess[str]:
            for_board = "cortex_m" in path.parts or BOARDS in path.parents or path.name in BOARD_ONLY
            flags = [*board_flags(board_of(path)), *board] if for_board else host
            if OPERATORS in path.parents or EXECUTOR in path.parents:
                flags = [*host, *official.includes(official.package())]
            command = [
                tool("clang-tidy"),
                "--quiet",
                str(path),
                "--",
                *COMMON,
                *flags,
                f"-I{FIRMWARE}",
                f"-I{folder}",
            ]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(lint, [path for path in sources if path.suffix == ".cpp"]))
    complaints = [result.stdout for result in results if result.returncode != 0]
    if complaints:
        sys.exit("".join(complaints) + f"error: clang-tidy complains about {len(complaints)} files.")
    print(f"clang-format: {len(sources)} files; clang-tidy: {len(results)} files; no complaints")


if __name__ == "__main__":
    main()
