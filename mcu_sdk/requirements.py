"""What mcu-sdk itself says that it needs, and whether that is what is installed."""

from __future__ import annotations

import re
from importlib import metadata


def requirement(name: str) -> str:
    """Of a package, as mcu-sdk states it, "torch==2.13.0"; its name where it states nothing."""
    try:
        requirements = metadata.requires("mcu-sdk") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for each in requirements:
        text = each.split(";")[0].strip()
        if _normalized(re.split(r"[\[=<>~! ]", text)[0]) == _normalized(name):
            return text
    return name


def _normalized(name: str) -> str:
    """A package's name as indexes know it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_version(name: str) -> str | None:
    """The one version of a package that mcu-sdk is made for, "2.13.0"; None where it takes several."""
    _, equal, version = requirement(name).partition("==")
    return version if equal else None


def is_pinned_version(name: str) -> bool:
    """Whether it is there, and in that version; a build of it ("2.13.0+cpu") is none of its own."""
    try:
        return metadata.version(name).split("+")[0] == pinned_version(name)
    except metadata.PackageNotFoundError:
        return False
