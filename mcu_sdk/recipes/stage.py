"""A step of a recipe: its title on the terminal, and no exception out of it that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcu_sdk.console import step
from mcu_sdk.errors import ModelError, as_ours


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Show `title` while the block works. Raises ModelError for whatever the libraries below raise on a model."""
    with step(title), as_ours(ModelError, f'"{title}"'):
        yield
