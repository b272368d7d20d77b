"""What is chosen where a request names nothing but a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.choice import Choice, first_that_fits, is_open, mildest
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.options import CompileOptions, GenerateRequest

ASKED = GenerateRequest(board="some-board")


class Board:
    """Holds what `fits` says; a refusal names `changes` by the model that was tried."""

    def __init__(self, fits: set[str], changes: Mapping[str | None, list[dict[str, object]]]) -> None:
        self.fits, self.changes, self.tried = fits, changes, []

    def attempt(self, choice: Choice) -> Choice:
        self.tried.append(choice.says)
        if choice.says in self.fits:
            return choice
        raise DoesNotFitError(f"too large:{choice.says}", changes=self.changes.get(choice.request.model, []))


def test_what_fits_stays_as_it_was_asked_for() -> None:
    board = Board({""}, {})
    assert first_that_fits(ASKED, board.attempt) == Choice(ASKED)


def test_a_cache_is_shortened_to_a_power_of_two() -> None:
    board = Board({"--max-cache-len 256"}, {None: [{"weights": "int4"}, {"cache_length": 390}]})
    chosen = first_that_fits(ASKED, board.attempt).request
    assert chosen.compile_options == CompileOptions(cache_length=256)


def test_changes_of_one_refusal_come_on_top_of_another() -> None:
    changes: list[dict[str, object]] = [{"weights": "int4"}]

    class Learning(Board):
        def attempt(self, choice: Choice) -> Choice:
            if choice.request.compile_options.weights == "int4":
                changes[:] = [{"cache_length": 130}]
            return super().attempt(choice)

    board = Learning({"--max-cache-len 128, --weights int4"}, {None: changes})
    chosen = first_that_fits(ASKED, board.attempt).request
    assert chosen.compile_options == CompileOptions(cache_length=128, weights="int4")
    assert board.tried == ["", "--weights int4", "--max-cache-len 128, --weights int4"]


def test_the_smaller_model_comes_where_no_option_helps_or_leaves_too_short_a_cache() -> None:
    small = "the bundled model 'bundled-small'"
    for changes in ([], [{"cache_length": 40}], [{"weights": "int8"}]):
        board = Board({small}, {None: list(changes)})
        assert first_that_fits(ASKED, board.attempt) == Choice(replace(ASKED, model="bundled-small"), small)


def test_a_folder_of_the_users_is_not_taken_for_the_smaller_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--model bundled-small` would: a project that was put there, say."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundled-small").mkdir()
    small = "the bundled model 'bundled-small'"
    chosen = first_that_fits(ASKED, Board({small}, {}).attempt)
    assert chosen.request.model == str(resources.bundled_models()["bundled-small"])


def test_the_first_refusal_is_told_where_nothing_fits() -> None:
    with pytest.raises(DoesNotFitError, match=r"too large:\Z"):
        first_that_fits(ASKED, Board(set(), {}).attempt)


def test_speed_is_given_up_last_and_a_useful_cache_before_weights() -> None:
    size, int4 = {"optimize": "size"}, {"weights": "int4"}
    assert mildest([size, int4, {"cache_length": 200}]) == {"cache_length": 200}
    assert mildest([size, int4, {"cache_length": 100}]) == int4
    assert mildest([size, {"cache_length": 100}]) == {"cache_length": 100}
    assert mildest([{"cache_length": 63}]) is None


def test_what_is_given_is_not_chosen() -> None:
    assert is_open(ASKED)
    for given in (
        replace(ASKED, model="bundled"),
        replace(ASKED, optimize="size"),
        replace(ASKED, compile_options=CompileOptions(cache_length=512)),
        replace(ASKED, given=frozenset({"weights"})),  # --weights int8, its default
    ):
        assert not is_open(given)
