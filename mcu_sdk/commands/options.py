"""Options that several verbs share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, cast, get_type_hints

import typer

from mcu_sdk.errors import UsageError
from mcu_sdk.option import options_of
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.asked import RunOptions

ProjectArgument = Annotated[
    Path, typer.Argument(help="A folder that `mcu-sdk generate` wrote.", show_default=False)
]
BoardOption = Annotated[
    str | None,
    typer.Option("--board", help="The folder of the project's board, if it is none of the packaged ones."),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="For models that take tensors: FILE.npy, or NAME=FILE.npy for each input.",
        show_default=False,
    ),
]
ImageOption = Annotated[
    Path | None,
    typer.Option(
        "--image",
        help="For models of images: a file, prepared as the checkpoint says (extra `vision`).",
        show_default=False,
    ),
]
AudioOption = Annotated[
    Path | None,
    typer.Option(
        "--audio",
        help="For models of sound: a .wav file, prepared as the checkpoint says.",
        show_default=False,
    ),
]
PromptsOption = Annotated[
    Path | None,
    typer.Option(
        "--prompts", help="A text file with one prompt a line; - for standard input.", allow_dash=True
    ),
]
ChatOption = Annotated[
    bool,
    typer.Option("--chat", help="Hold a conversation: each prompt is answered behind the ones before."),
]
SystemOption = Annotated[
    str | None,
    typer.Option("--system", help="What the conversation begins with. Default: what `generate` was told."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def parse_files(values: Sequence[str] | None, option: str) -> dict[str | None, Path]:
    """FILE or NAME=FILE, several times; a file without a name is None's. Raises UsageError for what is named twice."""
    found: dict[str | None, Path] = {}
    for value in values or ():
        match = re.fullmatch(r"(\w+)=(.+)", value, re.DOTALL)
        name, path = (match[1], match[2]) if match else (None, value)
        if name in found or not path or "\0" in path:
            raise UsageError(
                f"{option} takes FILE, or NAME=FILE once for each name, not {value!r}.",
                hint=f"For example: {option} x=x.npy {option} mask=mask.npy",
            )
        found[name] = Path(path)
    return found


def exclude(*given: tuple[str, object]) -> None:
    """Raises UsageError where more than one of these options was given."""
    named = [name for name, value in given if value]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other.", hint="Give one of them.")


def check_chat(
    *, chat: bool, system: str | None, has_text: bool = True, others: Sequence[tuple[str, object]] = ()
) -> None:
    """Raises UsageError for a conversation of what is no text, or of nothing, and for a system text without one."""
    for other in others:
        exclude(("--chat", chat), other)
    if chat and not has_text:
        raise UsageError(
            "A conversation has turns.", hint="Give --prompt, or --prompts FILE with a turn a line."
        )
    if system is not None and not chat:
        raise UsageError("--system begins a conversation.", hint="Add --chat.")


def named_options(context: typer.Context) -> frozenset[str]:
    """The parameters of a command that stand on its command line, whatever their values."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(
        name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"
    )


@dataclass(frozen=True)
class Given:
    """What a command line says: the values of each dataclass's options, and the names of those that stand on it."""

    values: dict[type, dict[str, Any]]
    named: frozenset[str]

    @property
    def run(self) -> RunOptions:
        """What it says of a run: of the request, and of the place."""
        found: dict[str, Any] = {}
        for values in self.values.values():
            found |= values
        return cast(RunOptions, found)

    def request(self, **more: Any) -> GenerateRequest:
        """All of it as a request; options that the command does not have keep their defaults."""
        options = CompileOptions(**self.values.get(CompileOptions, {}))
        return GenerateRequest(
            compile_options=options, given=self.named, **self.values[GenerateRequest], **more
        )

    def places(self) -> dict[str, str]:
        """What was named, as text by option."""
        return {
            name: str(value)
            for values in self.values.values()
            for name, value in values.items()
            if value is not None
        }


def with_options(
    *holders: type,
    only: frozenset[str] | None = None,
    optional: bool = False,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    **help: str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these classes as flags, in front of its own.

    The command's first parameter becomes a `Given`. `only`: the fields to take; `optional`: whether they have no
    defaults here; `defaults`: other ones, by field; `help`: other words for a field's help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        flags = {}
        for holder in holders:
            for each in options_of(holder).values():
                if only is None or each.name in only:
                    info = typer.Option(*each.flags, help=help.get(each.name, each.help))
                    read = list[str] | None if each.repeated else str | None
                    kind = each.type if each.read is None else read
                    kind = kind | None if optional else kind
                    default = None if optional else defaults.get(each.name, each.default)
                    flags[each.name] = (holder, each.read, default, Annotated[kind, info])

        def run(context: typer.Context, **given: Any) -> None:
            values: dict[type, dict[str, Any]] = {holder: {} for holder in holders}
            for name, (holder, read, _, _) in flags.items():
                value = given.pop(name)
                values[holder][name] = read(value) if read is not None and value is not None else value
            command(Given(values, named_options(context) & set(flags)), **given)

        own = list(inspect.signature(command).parameters.values())[1:]
        hints = get_type_hints(command, include_extras=True)
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (_, _, default, kind) in flags.items()
        ]
        parameters.insert(
            0, inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        )
        parameters += [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name]) for each in own
        ]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate
