"""Fixtures for all tests: a cache of their own, and checkpoints with random weights."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.checkpoints import make_checkpoint
from tests.kept import kept_folder
from tests.models.stock.lowering import Stock, stock

# No test judges time: an example may take as long as the machine lets it, and the same ones are tried everywhere.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

# Workers share the cores already. What waits for the other threads of a small operation would only spin. Set before
# PyTorch and NumPy are imported, and handed down to every process that a test starts.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A shell that starts the tests in the background lets them ignore Ctrl-C, and their children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


TOGETHER = ("tests/boards", "tests/commands", "tests/planning", "tests/project")
"""Folders whose files use the same builds and exports, of which each worker has its own."""

LONG = ("tests/end_to_end/", "tests/project/", "tests/commands/")
"""What takes longest comes first: else one worker would be left with it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests, or a folder's, stay with one worker, so that what they share is made once."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            folder = file.rpartition("/")[0]
            return folder if folder in TOGETHER else file

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """An export makes so many objects that the garbage collector would be at work for a tenth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """What imports and caches have made stays: no later collection need look at it again, which takes over a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all pytest-xdist workers of one run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(shared_folder: Path) -> None:
    """Keep compiled models of the tests out of the user's cache."""
    os.environ["MCU_SDK_CACHE"] = str(shared_folder / "cache")
    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _compile_once(shared_folder: Path, pytestconfig: pytest.Config) -> None:
    """What CMake compiles for one project, in this run or an earlier one, is not compiled again: ccache keeps it, by
    content. Projects lie in folders of their own, below one that `CCACHE_BASEDIR` names: paths count from there."""
    os.environ.update(
        CMAKE_C_COMPILER_LAUNCHER="ccache",
        CMAKE_CXX_COMPILER_LAUNCHER="ccache",
        CCACHE_DIR=str(kept_folder(pytestconfig, "ccache")),
        CCACHE_BASEDIR=str(shared_folder.parent),
        CCACHE_NOHASHDIR="1",
        CCACHE_DEPEND="1",
        CCACHE_MAXSIZE="1G",
        # A project is built in the second in which it is generated, so the times of its headers say nothing.
        CCACHE_SLOPPINESS="include_file_mtime,include_file_ctime",
    )


@pytest.fixture(scope="session")
def checkpoint(shared_folder: Path) -> Callable[[str], Path]:
    """`checkpoint("gpt2")` is the folder of the random-weight model that tests/models/gpt2.json describes."""
    return lambda name: make_checkpoint(name, shared_folder / "checkpoints")


@pytest.fixture(scope="session")
def stock_model(pytestconfig: pytest.Config) -> Callable[[str], Stock]:
    """`stock_model("mlp")` is that model of MODELS, lowered once for all runs while what decides it stays the same."""
    folder = kept_folder(pytestconfig, "stock")
    return lambda name: stock(name, folder)


@pytest.fixture(scope="session")
def tensor_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two inputs, float32[1, 8] and int64[1], and four outputs as a project for corstone-300, built in
    release, host and host-debug."""
    from mcu_sdk.generation import generate
    from mcu_sdk.options import GenerateRequest
    from mcu_sdk.project.build import build

    pte = Path(__file__).parent / "fixtures" / "executorch-1.4.1" / "float-portable.pte"
    request = GenerateRequest(pte=pte, output=tmp_path_factory.mktemp("tensors") / "project")
    project = generate(request).project
    for preset in ("release", "host", "host-debug"):
        build(project, preset)
    return project
