"""`mcu-sdk compare`: several projects in one table."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcu_sdk.commands.options import Given, JsonOption, exclude, with_options
from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import Where

if TYPE_CHECKING:
    from mcu_sdk.project.compare import Compared

DEFAULT_BOARD = "corstone-300"


@with_options(Where, only=frozenset({"simulator", "timeout"}))
def compare_command(
    given: Given,
    projects: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders that `mcu-sdk generate` wrote.", show_default=False),
    ] = None,
    variants: Annotated[
        bool,
        typer.Option(
            "--variants", help="Generate and compare int8 and int4 at several cache lengths instead."
        ),
    ] = False,
    board: Annotated[
        str | None, typer.Option("--board", help="For --variants: the board. Default: corstone-300.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="For --variants: the checkpoint. Default: the bundled one.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="For --variants: where to keep the projects. Default: nowhere."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare flash and RAM by region, instructions, a board's bound and accuracy of several projects."""
    from rich.console import Console

    from mcu_sdk.api import compare
    from mcu_sdk.project.compare import to_markdown, to_tables

    simulator, timeout = given.run["simulator"], given.run["timeout"]
    exclude(("--json", as_json), ("--markdown", markdown))
    if variants and projects:
        raise UsageError("--variants makes the projects itself.", hint="Leave the folders out.")
    if not variants and (board, model, out) != (None, None, None):
        raise UsageError("--board, --model and --out are for --variants.", hint="Leave them out.")
    if variants:
        found = _variants(board or DEFAULT_BOARD, model, out, simulator, timeout)
    elif projects:
        found = compare(projects, simulator=simulator, timeout=timeout)
    else:
        raise UsageError("No projects to compare.", hint="Name their folders, or use --variants.")
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2))
    elif markdown:
        print(to_markdown(found), end="")
    else:
        console = Console(highlight=False)
        for number, table in enumerate(to_tables(found, console.width)):
            if number:
                console.print()
            console.print(table)


def _variants(
    board: str, model: str | None, out: Path | None, simulator: str | None, timeout: float
) -> list[Compared]:
    """Make them, in `out` or for this once, and compare."""
    from mcu_sdk.api import compare
    from mcu_sdk.project.compare import Compared
    from mcu_sdk.variants import cache_lengths, make_variants

    lengths = cache_lengths(model)
    with tempfile.TemporaryDirectory(prefix="mcu-sdk-") as temporary:
        found = []
        for variant in make_variants(board, model, out or Path(temporary), lengths):
            if variant.project is None:
                found.append(Compared(variant.title, None, f"does not fit: {variant.why}"))
                continue
            (one,) = compare([variant.project], titles=[variant.title], simulator=simulator, timeout=timeout)
            found.append(one)
        return found
