"""Texts over the run protocol, for a model of tensors that reads them: the firmware encodes one text, or two."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.errors import TextError
from mcu_sdk.targets.protocol import numbered


@dataclass(frozen=True)
class TextRequest:
    """One step on a text, or on two."""

    text: str
    pair: str | None = None

    def encode(self, number: int | None = None) -> bytes:
        """The line. Raises TextError for what is no Unicode."""
        second = "" if self.pair is None else f" pair={_digits(self.pair)}"
        return numbered("@run", number, f"text={_digits(self.text)}{second}")


def _digits(text: str) -> str:
    try:
        return text.encode("utf-8").hex()
    except UnicodeEncodeError as error:
        raise TextError(
            f"The text cannot be encoded as UTF-8: {error.reason} at character {error.start}.",
            hint="Give it as valid UTF-8.",
        ) from error
