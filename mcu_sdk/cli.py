"""The command line: which verb lives where, and what becomes of errors.

Only the module of the verb that was asked for is imported, and that module imports what is heavy inside its
function: `--help`, `boards` and `doctor` answer at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.exceptions import TyperException

from mcu_sdk import __version__, console
from mcu_sdk.errors import InterruptedRunError, McuSdkError, ToolMissingError

_USAGE = 2


class Verb(NamedTuple):
    """A module of `mcu_sdk.commands`, the function in it, and its line in `mcu-sdk --help`."""

    module: str
    function: str
    help: str


VERBS = {
    "generate": Verb("generate", "generate_command", "Turn a checkpoint or a .pte into a firmware project."),
    "regenerate": Verb(
        "generate", "regenerate_command", "Write a project's generated parts again; app/ stays."
    ),
    "build": Verb("build", "build_command", "Build a project and report flash and RAM."),
    "flash": Verb("flash", "flash_command", "Write a project's firmware to its board, and start it."),
    "monitor": Verb("monitor", "monitor_command", "Show what a board says, and ask it what is typed."),
    "run": Verb("run", "run_command", "Run a project's firmware and stream what it says."),
    "verify": Verb("verify", "verify_command", "Prove that device, host and PyTorch compute the same."),
    "test": Verb("test", "test_command", "Hold a firmware against known answers and a baseline."),
    "compare": Verb("compare", "compare_command", "Compare memory, speed and accuracy of several projects."),
    "evaluate": Verb("evaluate", "evaluate_command", "Measure what quantization costs on a text."),
    "inspect": Verb("inspect", "inspect_command", "Show what is in a .pte."),
    "npu": Verb("npu", "npu_command", "Disassemble what was compiled for an Ethos-U."),
    "boards": Verb("boards", "boards_command", "List the boards, or show one."),
    "doctor": Verb(
        "doctor", "doctor_command", "Look for every tool, and say how to install what is missing."
    ),
}

_debug = False


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: run, and leave with the exit code (docs/errors-and-exit-codes.md)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 is no reason to fail
    # `timeout` and service managers end us so; an exception lets simulators be ended and folders be removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Every error ends here, as one paragraph on stderr."""
    global _debug
    _debug = False
    try:
        app = _make_app(next((word for word in arguments if not word.startswith("-")), None))
        result = app(args=list(arguments), prog_name="mcu-sdk", standalone_mode=False)
        sys.stdout.flush()
        if result == InterruptedRunError.exit_code:  # typer makes this of Ctrl-C
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except TyperException as error:
        return _report_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _report(InterruptedRunError("Interrupted."))
    except BrokenPipeError:  # the reader of our output (`| head`) has gone; nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        return _report(_explain_missing_module(error), error)
    except Exception as error:
        return _report(error)


def _make_app(wanted: str | None) -> typer.Typer:
    """A typer application in which only the verb `wanted` is real; the others are there for the help."""
    # Plain help: rich's panels would double the time that `--help` takes.
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_global_options)
    for name, verb in VERBS.items():
        command = _load(verb) if name == wanted else _not_asked_for
        app.command(name, help=None if name == wanted else verb.help)(command)
    return app


def _load(verb: Verb) -> Callable[..., Any]:
    command: Callable[..., Any] = getattr(import_module(f"mcu_sdk.commands.{verb.module}"), verb.function)
    return command


def _not_asked_for() -> None:
    raise AssertionError("a verb that was not asked for cannot be called")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mcu-sdk {__version__}")
        raise typer.Exit


def _global_options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback for every error, and the libraries' warnings.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no logs; only errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a Transformers checkpoint to verified firmware on a microcontroller.

    Data goes to standard output, progress and errors to standard error. `mcu-sdk VERB --help` tells more about a verb.
    """
    global _debug
    _debug = debug
    console.set_debug(debug)
    console.set_quiet(quiet)
    context.with_resource(console.quiet_libraries())  # until the verb is done, what it imports included


def _report_usage(error: TyperException) -> int:
    """A wrong option, argument or verb, in typer's words."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "mcu-sdk"
    print(f"error: {error.format_message().rstrip()} Try `{command} --help`.", file=sys.stderr)
    return _USAGE


def _report(error: Exception, cause: Exception | None = None) -> int:
    """Print an error; the exit code of its class, 1 for what no class foresees."""
    if _debug:
        import traceback

        traceback.print_exception(cause or error)
    if isinstance(error, McuSdkError):
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError):
        print(f"error: {error}.", file=sys.stderr)
        return 1
    advice = "" if _debug else " This is a defect in mcu-sdk; `mcu-sdk --debug ...` shows where."
    print(f"error: {type(error).__name__}: {error}.{advice}", file=sys.stderr)
    return 1


def _explain_missing_module(error: ModuleNotFoundError) -> McuSdkError | ModuleNotFoundError:
    """A package that is not installed is a missing tool; a module of our own that is missing is a defect."""
    package = (error.name or "").split(".")[0]
    if not package or package == "mcu_sdk":
        return error
    return ToolMissingError(
        f"The Python package {package!r} is needed, and is not installed for {sys.executable}.",
        hint="Install everything again: make setup in a checkout, else pip install with the wheel.",
    )


if __name__ == "__main__":
    main()
