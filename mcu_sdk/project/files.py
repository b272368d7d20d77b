"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    """Write UTF-8 beside `path` and rename. Raises OSError; then what was there stays."""
    handle, beside = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name[:64]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _umask() -> int:
    """What the process keeps from new files; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
