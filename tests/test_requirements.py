"""What mcu-sdk says that it needs, read of what is installed."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest

from mcu_sdk import requirements, resources

PROJECT = tomllib.loads((resources.PACKAGE.parent / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    "text", [text for text in PROJECT["dependencies"] if "==" in text and "[" not in text]
)
def test_what_is_pinned_is_known_and_installed(text: str) -> None:
    name, _, version = text.partition("==")
    assert requirements.requirement(name).replace("-", "_") == text.replace("-", "_")
    assert requirements.pinned_version(name) == version
    assert requirements.is_pinned_version(name)


def test_what_is_not_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert requirements.requirement("no-such-package") == "no-such-package"
    assert requirements.pinned_version("no-such-package") is None
    assert not requirements.is_pinned_version("no-such-package")
    monkeypatch.setattr(metadata, "version", lambda name: "2.9.1")
    assert not requirements.is_pinned_version("torch")


def test_a_build_is_no_other_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: f"{requirements.pinned_version(name)}+cpu")
    assert requirements.is_pinned_version("torch")


def test_an_sdk_that_is_not_installed_pins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert requirements.requirement("torch") == "torch" and requirements.pinned_version("torch") is None
