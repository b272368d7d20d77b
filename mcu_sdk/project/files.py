"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path


def why_not_writable(path: Path) -> str | None:
    """Why `replace_file` cannot write there, as far as can be seen before; None if nothing speaks against it."""
    folder = path.absolute().parent
    if path.is_dir():
        return "it is a folder"
    if not folder.is_dir():
        return "its folder does not exist"
    if path.exists() and not path.is_file():
        return "it is a device or a pipe, which a file would replace"
    if _is_own_stream(path):
        return "it is where this command's own output goes"
    return None if os.access(folder, os.W_OK) else "its folder cannot be written to"


def replace_file(path: Path, content: str | bytes) -> None:
    """Write text (as UTF-8) or bytes beside `path`, or beside what a link there names, and rename. Raises OSError; then
    what was there stays."""
    if _is_own_stream(path):
        raise OSError(errno.EINVAL, "it is where this command's own output goes", str(path))
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder, a device or a pipe", str(path))
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _is_own_stream(path: Path) -> bool:
    """Whether this process's standard output or error was redirected to that file, as /dev/stdout may be: in its place
    there would be a new file, and what is printed would be lost."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return True
    return False


def _umask() -> int:
    """What the process keeps from new files; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
