"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcu_sdk.errors import UsageError

ProjectArgument = Annotated[
    Path, typer.Argument(help="A folder that `mcu-sdk generate` wrote.", show_default=False)
]
BoardOption = Annotated[
    str | None,
    typer.Option("--board", help="The folder of the project's board, if it is none of the packaged ones."),
]
PromptOption = Annotated[str | None, typer.Option("--prompt", help="The text to go on from.")]
IdsOption = Annotated[str | None, typer.Option("--ids", help='The prompt as token ids: "12,7,99".')]
StepsOption = Annotated[
    int | None, typer.Option("--steps", help="For models that take tensors: how many made-up inputs.")
]
TokensOption = Annotated[int, typer.Option("--tokens", help="How many tokens to generate at most.")]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", help="0 takes the likeliest token; higher values dare more.")
]
TopKOption = Annotated[int, typer.Option("--top-k", help="Draw from the K likeliest tokens; 0: from all.")]
SeedOption = Annotated[
    int, typer.Option("--seed", help="Of the random numbers; the same seed, the same text.")
]
SimulatorOption = Annotated[
    str | None, typer.Option("--simulator", help="qemu, fvp or host. Default: the board's.")
]
PortOption = Annotated[
    str | None, typer.Option("--port", help="The serial port of a board, such as /dev/ttyACM0.")
]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds that a run may take.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def parse_ids(text: str | None) -> tuple[int, ...] | None:
    """Token ids between commas. Raises UsageError for anything else."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--ids takes numbers between commas, not {text!r}.", hint="For example: --ids 12,7,99"
        ) from error
