"""What the tests keep from one run to the next."""

from __future__ import annotations

from pathlib import Path

import pytest


def kept_folder(config: pytest.Config, name: str) -> Path:
    """A folder in pytest's cache, made if need be; also where a run goes without that cache (-p no:cacheprovider)."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None:
        return Path(cache.mkdir(name))
    folder = config.rootpath / ".pytest_cache" / "d" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
