"""What the user sees while a command works: everything here goes to stderr, data goes to stdout."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_console: Console | None = None
_quiet = False
_debug = False


def set_quiet(quiet: bool) -> None:
    """Silence progress and logs (errors are still printed)."""
    global _quiet
    _quiet = quiet


def set_debug(debug: bool) -> None:
    """Let the libraries' own warnings and logs through."""
    global _debug
    _debug = debug


def console() -> Console:
    """The one rich console, on stderr; made late because rich takes a while to import."""
    global _console
    if _console is None:
        from rich.console import Console

        _console = Console(stderr=True, highlight=False, soft_wrap=True)
    return _console


def log(text: str) -> None:
    """One line of news on stderr."""
    if not _quiet:
        console().print(text, markup=False)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep warnings and progress bars of the libraries below us off the user's terminal; `--debug` lets them through."""
    if _debug:
        yield
        return
    for name, value in (
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("TQDM_DISABLE", "1"),
    ):
        os.environ.setdefault(name, value)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _without_bars():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _without_bars() -> Iterator[None]:
    """No bars of a tqdm that was imported before, which looks at its environment no more."""
    loaded: Any = sys.modules.get("tqdm.std")
    if loaded is None:
        yield
        return
    original = loaded.tqdm.__init__
    loaded.tqdm.__init__ = functools.partialmethod(original, disable=True)
    try:
        yield
    finally:
        loaded.tqdm.__init__ = original


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show `title` with a running clock while the block works, and one line with the time when it is done.

    On something that is no terminal there is no animation: a line when the step begins, one when it ends.
    """
    if _quiet:
        yield
        return
    began = time.monotonic()
    if sys.stderr.isatty():
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console(), transient=True) as progress:
            progress.add_task(title, total=None)
            yield
    else:
        log(f"  {title} ...")
        yield
    log(f"✓ {title} ({time.monotonic() - began:.1f} s)")
