"""How many bytes int4 weights have to save is found by trying."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from mcu_sdk import cli
from mcu_sdk.errors import DoesNotFitError, UsageError
from mcu_sdk.options import CompileOptions, GenerateRequest, parse_flash
from mcu_sdk.saving import INT4_CODE, TRIES, TooLargeError, first_that_saves_enough

REQUEST = GenerateRequest(compile_options=CompileOptions(weights="auto"), flash=1000)


@dataclass
class Image:
    """What a try finds: an image of `size` bytes with int8 weights in flash of 1000, of which int4 saves `most` at most,
    whose code takes `code`."""

    size: int
    most: int
    code: int = 0
    tried: list[int] = field(default_factory=list)

    def attempt(self, request: GenerateRequest) -> int:
        saving = request.compile_options.int4_saving or 0
        self.tried.append(saving)
        image = self.size - min(saving, self.most) + (self.code if saving else 0)
        if image <= 1000:
            return image
        error = DoesNotFitError(f"{image} bytes", over=image - 1000)
        raise TooLargeError(error, {"everything": saving >= self.most})


def test_int8_where_that_fits() -> None:
    image = Image(900, 500)
    assert first_that_saves_enough(REQUEST, image.attempt) == 900 and image.tried == [0]


def test_what_is_over_is_saved_and_the_code_for_it() -> None:
    image = Image(3000, 9999, code=700)
    first_that_saves_enough(REQUEST, image.attempt)
    assert image.tried == [0, 2000 + INT4_CODE]


def test_more_code_than_was_counted_with_is_saved_too() -> None:
    image = Image(3000, 9999, code=INT4_CODE + 5)
    assert first_that_saves_enough(REQUEST, image.attempt) == 1000
    assert image.tried == [0, 2000 + INT4_CODE, 2005 + INT4_CODE]


def test_the_smallest_that_does_not_fit_is_named() -> None:
    with pytest.raises(DoesNotFitError, match="2500 bytes"):
        first_that_saves_enough(REQUEST, Image(3000, 500).attempt)


def test_an_end_is_made() -> None:
    """Where each try is over by more than the one before saved."""
    tried = []

    def attempt(request: GenerateRequest) -> int:
        tried.append(request.compile_options.int4_saving)
        raise TooLargeError(DoesNotFitError("too large", over=1), {"everything": False})

    with pytest.raises(DoesNotFitError, match="too large"):
        first_that_saves_enough(REQUEST, attempt)
    assert len(tried) == TRIES


@pytest.mark.parametrize(("text", "size"), [("512K", 524288), ("2M", 2 << 20), (" 4096 ", 4096)])
def test_sizes(text: str, size: int) -> None:
    assert parse_flash(text) == size


@pytest.mark.parametrize("text", ["", "0", "0K", "-1", "1.5M", "512KB", "many"])
def test_texts_that_are_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="--flash"):
        parse_flash(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--flash=512K"], "--flash is what --weights auto chooses by"),
        (["--flash=512K", "--weights=int4"], "--flash is what --weights auto chooses by"),
        (["--flash=x", "--weights=auto"], "--flash takes a number of bytes"),
        (["--board=host", "--weights=auto"], "chooses by a board's flash"),
        (["--target=ethos-u55-128", "--prefill=8", "--weights=auto", "--flash=2M"], "int8"),
        (["--pte=no-such-file", "--weights=auto", "--flash=512K"], "is for a decoder's checkpoint"),
    ],
)
def test_what_is_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["generate", *arguments]) == 2
    assert words in capsys.readouterr().err
