"""examples/two_models as its README has it: two libraries in one program, the digests of each alone, code linked once."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.board.board import load_board
from mcu_sdk.project.build import build
from tests.checkpoints import small_tokenizer

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_models"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"
REQUESTS = {
    "writer": b"@run tokens=12 temperature=0 text=746f206265\n\x04",
    "classifier": b"@run steps=30 seed=1\n\x04",
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two libraries, for mps2-an386."""
    folder = tmp_path_factory.mktemp("libraries")
    tokenizer = f"--tokenizer={small_tokenizer(folder / 'tokenizer.json')}"
    given = {
        "writer": [f"--pte={FIXTURES / 'decoder-rows.pte'}", tokenizer],
        "classifier": [f"--pte={FIXTURES / 'stock-mlp.pte'}"],
    }
    for name, more in given.items():
        command = ["generate", "--board=mps2-an386", "--format=library", f"--name={name}", *more]
        assert cli.run([*command, f"--output={folder / name}"]) == 0
    return {name: folder / name for name in given}


def compiled(folder: Path, libraries: dict[str, Path], *given: str) -> Path:
    """The example's program, built in `folder`."""
    toolchain = libraries["writer"] / "cmake" / "arm-none-eabi.cmake"
    more = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", *given]
    subprocess.run(
        ["cmake", "-S", EXAMPLE, "-B", folder, "-G", "Ninja", *more],
        check=True, stdout=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    subprocess.run(["cmake", "--build", folder], check=True, stdout=subprocess.DEVNULL, timeout=300)
    return folder / "two_models.elf"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, libraries: dict[str, Path]) -> Path:
    places = [f"-D{name.upper()}={folder}" for name, folder in libraries.items()]
    return compiled(tmp_path_factory.mktemp("example"), libraries, *places)


def run(elf: Path) -> str:
    """What the program says in QEMU, when it has ended by itself and well."""
    command = load_board("mps2-an386").simulator["qemu"].command
    done = subprocess.run(
        [part.replace("{elf}", str(elf)) for part in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def test_each_model_computes_what_it_computes_alone(program: Path, libraries: dict[str, Path]) -> None:
    said = run(program)
    for name, folder in libraries.items():
        host = build(folder, "host").program
        alone = subprocess.run([host], input=REQUESTS[name], capture_output=True, check=True, timeout=60)
        digest = re.search(rb"@mcu digest=(\w+)", alone.stdout)
        assert digest is not None
        assert f"{name} digest={digest[1].decode()}\n" in said
    assert "float mode kept" in said
    overtaken = re.search(r"overtaken=(\d+)", said)
    assert overtaken is not None and int(overtaken[1]) > 10  # one model in the middle of the other's step


def test_what_they_share_is_linked_once(program: Path) -> None:
    listing = subprocess.run(
        ["arm-none-eabi-nm", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    names = Counter(line.split()[-1] for line in listing.splitlines())
    kernels = {name: count for name, count in names.items() if re.fullmatch(r"mcu_\w+_[0-9a-f]{8}", name)}
    assert any(name.startswith("mcu_linear_s8_per_tensor_") for name in kernels)  # the classifier's
    assert any(name.startswith("mcu_linear_s8_static_") for name in kernels)  # the writer's, of the same file
    assert set(kernels.values()) == {1}
    assert sum(name.startswith("mcu_quantize_") for name in kernels) == 1  # of both
    assert names["mcu_writer_step"] == names["mcu_classifier_step"] == 1


def test_an_archive_defines_nothing_but_its_own_and_what_is_shared(program: Path) -> None:
    """Nothing that another library, or the firmware, could define as well; and no variables but the model's memory."""
    for name in ("writer", "classifier"):
        archive = program.parent / name / f"libmcu_{name}.a"
        listing = subprocess.run(
            ["arm-none-eabi-nm", archive], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        symbols = [line.split()[-2:] for line in listing.splitlines() if len(line.split()) == 3]
        defined = [symbol for kind, symbol in symbols if kind.isupper() or kind in "vw"]
        own = re.compile(rf"mcu_{name}(_|$)|_ZNK?\d+mcu_{name}(4plan|_tokenizing)|mcu_\w+_[0-9a-f]{{8}}$")
        assert defined and not [symbol for symbol in defined if not own.match(symbol)]
        variables = [symbol for kind, symbol in symbols if kind in "bBdD"]
        assert len(variables) <= 3 and all(
            re.search("arena_memory|kv_cache_memory|position", symbol) for symbol in variables
        )


@pytest.mark.slow
def test_installed_libraries_are_found(tmp_path: Path, program: Path, libraries: dict[str, Path]) -> None:
    places = ["-DINSTALLED=ON"]
    for name, folder in libraries.items():
        build(folder)
        command = ["cmake", "--install", folder / "build/release", "--prefix", tmp_path / "installed"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
        places.append(f"-Dmcu_{name}_DIR={tmp_path / 'installed' / 'lib' / 'cmake' / f'mcu_{name}'}")
    assert run(compiled(tmp_path / "build", libraries, *places)) == run(program)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["writer", "classifier"])
def test_the_board_computes_what_the_host_computes(name: str, libraries: dict[str, Path]) -> None:
    """`verify` builds the program that is around each library."""
    given = ["--prompt", "to be", "--tokens", "8"] if name == "writer" else ["--steps", "3"]
    assert cli.run(["verify", str(libraries[name]), *given]) == 0
