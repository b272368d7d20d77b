"""`mcu-sdk generate` and `mcu-sdk regenerate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcu_sdk.commands.options import Given, JsonOption, with_options
from mcu_sdk.options import CompileOptions, GenerateRequest

if TYPE_CHECKING:
    from mcu_sdk.generated import Generated

NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite generated files that were changed; these are set aside.")
]


@with_options(GenerateRequest, CompileOptions)
def generate_command(
    given: Given, force: ForceOption = False, no_cache: NoCacheOption = False, as_json: JsonOption = False
) -> None:
    """Turn a checkpoint (or a .pte) into a firmware project for a board."""
    from mcu_sdk.generation import generate

    show(generate(given.request(use_cache=not no_cache, force=force)), as_json)


@with_options(
    GenerateRequest,
    CompileOptions,
    only=frozenset({"model", "board", "tokenizer", "calibration_text", "grammar", "json_schema"}),
    optional=True,
    model="Where the checkpoint lies now, if it was moved.",
    board="Where the board's folder lies now, if it was moved.",
    tokenizer="Where the tokenizer.json lies now, if it was moved.",
    calibration_text="Where the text lies now, if it was moved.",
    grammar="The regular expression, if it is no longer in the project.",
    json_schema="The JSON schema, if it is no longer in the project.",
)
def regenerate_command(
    given: Given,
    project: Annotated[Path, typer.Argument(help="A generated project.")],
    force: ForceOption = False,
    no_cache: NoCacheOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a project's model/ and sdk/ again, with the options and inputs of the first time; app/ stays."""
    from mcu_sdk.regeneration import regenerate

    show(regenerate(project, places=given.places(), use_cache=not no_cache, force=force), as_json)


def show(generated: Generated, as_json: bool) -> None:
    """The result on stdout."""
    from mcu_sdk.commands.summary import lines_of
    from mcu_sdk.console import log
    from mcu_sdk.project.accuracy import accuracy_of

    accuracy = accuracy_of(generated.facts)
    if accuracy is not None and accuracy.warning is not None:
        log(accuracy.warning)
    if as_json:
        print(json.dumps(generated.summary(), indent=2))
        return
    for line in lines_of(generated):
        print(line)
