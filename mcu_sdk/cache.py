"""What was computed once and need not be again: a folder of results, keyed by the content that decided them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mcu_sdk import resources

DECIDING_PACKAGES = (
    "torch",
    "executorch",
    "transformers",
    "torchao",
    "tokenizers",
    "ethos-u-vela",
    "tosa-tools",
)
"""Packages whose version can change what is generated; the last two, for an NPU."""


def cache_folder() -> Path:
    """`$MCU_SDK_CACHE`, else `mcu-sdk` in the user's cache folder."""
    named = os.environ.get("MCU_SDK_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mcu-sdk"


def package_versions() -> dict[str, str]:
    """The versions of the packages that decide what is generated, without importing them."""
    found = {}
    for name in DECIDING_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def sources_digest() -> str:
    """SHA-256 over the SDK's own Python sources: a change of the compiler is a change of its results."""
    digest = hashlib.sha256()
    for path in sorted(resources.PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(resources.PACKAGE).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def key_of(facts: Mapping[str, object]) -> str:
    """A key from facts that decide a result, the SDK's sources and the packages' versions."""
    digest = hashlib.sha256(sources_digest().encode())
    for name, value in sorted({**package_versions(), **facts}.items()):
        digest.update(f"{name}={value!r}\n".encode())
    return digest.hexdigest()


def load(key: str, names: tuple[str, ...]) -> dict[str, bytes] | None:
    """The files kept under `key`, or None when any is missing."""
    folder = cache_folder() / key
    try:
        return {name: (folder / name).read_bytes() for name in names}
    except OSError:
        return None


def store(key: str, files: Mapping[str, bytes]) -> None:
    """Keep `files` under `key`: written beside, then renamed. A cache that cannot be written is no error."""
    parent = cache_folder()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    except OSError:
        return
    try:
        for name, content in files.items():
            (beside / name).write_bytes(content)
        beside.rename(parent / key)
    except OSError:  # another process was first, or the disk is full
        shutil.rmtree(beside, ignore_errors=True)
