"""What a model is called: in paths and code, and in comments."""

from __future__ import annotations

import re


def slug(name: str) -> str:
    """A name for paths and identifiers: a-z, 0-9 and single hyphens, 1 to 48 characters."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    return cleaned if re.match(r"[a-z]", cleaned) else f"model-{cleaned}".strip("-")


def title(name: str) -> str:
    """A name for comments, prose and the console: printable ASCII without anything that C, CMake or Markdown read."""
    return re.sub(r"[^A-Za-z0-9 .,_+()-]", "_", name)[:80].strip() or "model"
