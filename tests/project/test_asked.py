"""The options of a run: the command's flags and the Python API's keywords are the same, with the same defaults."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk import api, cli
from mcu_sdk.errors import McuSdkError, UsageError
from mcu_sdk.option import options_of
from mcu_sdk.project import runners
from mcu_sdk.project.asked import (
    Asked,
    RunOptions,
    Sampling,
    Texts,
    Where,
    asked_in,
    parse_biases,
    parse_ids,
    sampling_in,
    where_in,
)
from mcu_sdk.project.flash import prepare
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.render import render_project
from mcu_sdk.targets.protocol import Request
from tests.project.conftest import make_inputs

OPTIONS = options_of(RunOptions)


class Known(Asked, Where):
    """Known answers are of prompts and made-up inputs."""


@pytest.mark.parametrize("verb", ["run", "verify", "test"])
def test_every_option_is_a_flag_of_the_verbs(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    wanted = options_of(RunOptions if verb != "test" else Known)
    assert all(option.flags[0] in shown for option in wanted.values())


def test_a_request_has_the_defaults_of_the_options() -> None:
    defaults = {name: option.default for name, option in options_of(Sampling).items()}
    assert Request(ids=(1,), **defaults) == Request(ids=(1,))


def test_options_are_divided_without_a_rest() -> None:
    options = dict.fromkeys(OPTIONS)
    texts = dict.fromkeys(options_of(Texts))
    assert {**asked_in(options), **texts, **where_in(options)} == options
    assert sampling_in(options).keys() == Sampling.__annotations__.keys()
    assert where_in(options).keys() == Where.__annotations__.keys()


def test_a_keyword_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'token'"):
        where_in({"token": 3})
    for function in (api.run, api.verify):
        with pytest.raises(UsageError):  # no project; its keywords are those of the options
            function(tmp_path, prompt="a", ids=(1,), tokens=3, simulator="host", timeout=1.0)


def test_ids_on_the_command_line() -> None:
    assert parse_ids("12,7,99") == (12, 7, 99)
    for wrong in ("", "1,,2", "1 2", "a"):
        with pytest.raises(UsageError, match="--ids takes numbers"):
            parse_ids(wrong)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ({"timeout": math.nan}, "--timeout"),
        ({"timeout": math.inf}, "--timeout"),
        ({"timeout": 0.0}, "--timeout"),
        ({"timeout": -1.0}, "--timeout"),
        ({"port": "/dev/ttyACM0", "simulator": "qemu"}, "exclude"),
        ({"port": ""}, "no serial port"),
        ({"port": "123456789"}, "no serial port"),
        ({"simulator": "renode"}, "no simulator"),
        ({"simulator": ""}, "no simulator"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_built(
    where: dict[str, Any], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*arguments: object, **settings: object) -> None:
        raise AssertionError("nothing is built for a place that cannot be")

    monkeypatch.setattr(runners, "build", build)
    project = open_project(render_project(make_inputs(), tmp_path / "project"))
    for function in (api.run, api.verify):
        with pytest.raises(McuSdkError, match=what):
            function(project, ids=(1,), **where)
    if "timeout" in where:
        with pytest.raises(UsageError, match=what):
            prepare(project, **where)
        command = ["monitor", "--port", "/dev/none", "--timeout", str(where["timeout"])]
        assert cli.run(command) == 2


def test_logit_biases_on_the_command_line() -> None:
    assert parse_biases(["13=-5", "42=1.5"]) == ((13, -5.0), (42, 1.5))
    for wrong in (["5"], ["=1"], ["a=1"], ["1=b"], ["1=2=3"]):
        with pytest.raises(UsageError, match="--logit-bias takes a token id and a number"):
            parse_biases(wrong)
    with pytest.raises(UsageError, match="the token 7 twice"):
        parse_biases(["7=1", "7=2"])


@pytest.mark.parametrize(
    ("sampling", "what"),
    [
        ({"top_p": 0.0, "temperature": 1.0}, "top_p is a number above 0 to 1, not 0.0"),
        ({"top_p": 1.1, "temperature": 1.0}, "top_p"),
        ({"min_p": math.nan, "temperature": 1.0}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition penalty is a number above 0 to 1000"),
        ({"logit_bias": {16: 1.0}}, "from 0 to 15, not 16"),
        ({"logit_bias": {3: math.inf}}, "logit bias"),
        ({"top_p": 0.5}, "--top-p is for tokens that are drawn"),
        ({"temperature": 1.0, "min_p": 0.1, "steps": 3}, "language model"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_built(
    sampling: dict[str, Any], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "build", lambda *given, **more: pytest.fail("nothing is to be built"))
    project = open_project(render_project(make_inputs(), tmp_path / "project"))
    start = {} if "steps" in sampling else {"ids": (1,)}
    with pytest.raises(UsageError, match=what):
        api.run(project, **start, **sampling)


@pytest.mark.parametrize("option", ["--top-k", "--top-p", "--min-p", "--seed"])
def test_an_option_of_monitor_that_would_change_nothing_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["monitor", "--port", "/dev/none", option, "1"]) == 2
    assert f"{option} is for tokens that are drawn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--baud", "0"], "--baud"),
        (["--baud", "-5"], "--baud"),
        (["--temperature", "nan"], "temperature"),
        (["--temperature", "1", "--top-p", "0"], "top_p"),
        (["--temperature", "1", "--min-p", "2"], "min_p"),
        (["--repetition-penalty", "nan"], "repetition penalty"),
        (["--logit-bias", "3"], "--logit-bias"),
        (["--tokens", "-1"], "tokens"),
        (["--temperature", "1", "--seed", str(2**64)], "seed"),
    ],
)
def test_numbers_that_monitor_cannot_take_are_refused_before_the_port_is_opened(
    options: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["monitor", "--port", "/dev/none", *options]) == 2
    assert what in capsys.readouterr().err
