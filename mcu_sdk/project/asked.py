"""What is asked of a firmware, and where it runs: every option of `run`, `verify` and `test` once.

From the fields below come the flags of the command line (commands/options.py) and the keywords of the Python API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict, cast

from mcu_sdk.errors import UsageError
from mcu_sdk.option import Flag
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.protocol import Request
from mcu_sdk.targets.texts import TextRequest


def parse_ids(text: str) -> tuple[int, ...]:
    """Token ids between commas. Raises UsageError for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--ids takes numbers between commas, not {text!r}.", hint="For example: --ids 12,7,99"
        ) from error


def parse_biases(texts: Sequence[str]) -> tuple[tuple[int, float], ...]:
    """Logit biases, each ID=VALUE. Raises UsageError for anything else, and for a token that is named twice."""
    found: dict[int, float] = {}
    for text in texts:
        token, _, value = text.partition("=")
        try:
            number, bias = int(token), float(value)
        except ValueError as error:
            raise UsageError(
                f"--logit-bias takes a token id and a number, ID=VALUE, not {text!r}.",
                hint="For example: --logit-bias 13=-5 --logit-bias 42=1.5",
            ) from error
        if number in found:
            raise UsageError(f"--logit-bias names the token {number} twice.", hint="Give it one value.")
        found[number] = bias
    return tuple(found.items())


def parse_stops(texts: Sequence[str]) -> tuple[str, ...]:
    """Stop texts, in each of which \\n, \\t and \\\\ are a line break, a tab and a backslash. Raises UsageError for another escape."""
    return tuple(_unescaped(text) for text in texts)


def check_stops(texts: Sequence[str]) -> None:
    """Raises UsageError or TextError for stop texts that a firmware does not take."""
    Request(text="x", stop=texts).encode()


def _unescaped(text: str) -> str:
    found, rest = "", iter(text)
    for char in rest:
        if char == "\\":
            escaped = next(rest, "")
            if escaped not in _ESCAPES:
                raise UsageError(
                    f"--stop knows \\n, \\t and \\\\; {text!r} has \\{escaped}.",
                    hint="Write a backslash twice.",
                )
            char = _ESCAPES[escaped]
        found += char
    return found


_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}

TOKENS = 24
"""Of a known answer (mcu_sdk.project.testing), where nobody says how many."""


class Start(TypedDict, total=False):
    """What a model is given: at most one of these."""

    prompt: Annotated[str | None, Flag("--prompt", "The text to go on from.")]
    ids: Annotated[Sequence[int] | None, Flag("--ids", 'The prompt as token ids: "12,7,99".', read=parse_ids)]
    steps: Annotated[int | None, Flag("--steps", "For models that take tensors: how many made-up inputs.")]


class Texts(TypedDict, total=False):
    """What an encoder is given, which its firmware encodes."""

    text: Annotated[
        str | None, Flag("--text", "For encoders, and decoders that attend to one: the text to read.")
    ]
    text_pair: Annotated[
        str | None, Flag("--text-pair", "A second text beside it: an answer, or what --text asks of.")
    ]


class Sampling(TypedDict, total=False):
    """How a language model's text goes on; `seed` also makes up tensors."""

    tokens: Annotated[int, Flag("--tokens", "How many tokens to generate at most.", default=Request.tokens)]
    temperature: Annotated[
        float,
        Flag(
            "--temperature",
            "0 takes the likeliest token; higher values dare more.",
            default=Request.temperature,
        ),
    ]
    top_k: Annotated[
        int, Flag("--top-k", "Draw from the K likeliest tokens; 0: from all.", default=Request.top_k)
    ]
    top_p: Annotated[
        float,
        Flag(
            "--top-p",
            "Draw from the likeliest tokens whose chances add up to P; 1: from all.",
            default=Request.top_p,
        ),
    ]
    min_p: Annotated[
        float,
        Flag(
            "--min-p",
            "Draw from tokens with at least P times the chance of the likeliest; 0: from all.",
            default=Request.min_p,
        ),
    ]
    repetition_penalty: Annotated[
        float,
        Flag(
            "--repetition-penalty",
            "Above 1 what was read or said comes less often, below 1 more often.",
            default=Request.repetition_penalty,
        ),
    ]
    logit_bias: Annotated[
        Sequence[tuple[int, float]] | Mapping[int, float],
        Flag(
            "--logit-bias",
            "ID=VALUE, added to the logit of a token; several times for several tokens.",
            default=Request.logit_bias,
            read=parse_biases,
            repeated=True,
        ),
    ]
    stop: Annotated[
        Sequence[str],
        Flag(
            "--stop",
            'A text that ends the answer, which is cut before it; several times for several, "" for none. \\n is a line break.',
            default=Request.stop,
            read=parse_stops,
            repeated=True,
        ),
    ]
    seed: Annotated[
        int, Flag("--seed", "Of the random numbers; the same seed, the same text.", default=Request.seed)
    ]


class Where(TypedDict, total=False):
    """What a firmware runs on, and how many seconds an answer may take."""

    simulator: Annotated[str | None, Flag("--simulator", "qemu, fvp or host. Default: the board's.")]
    port: Annotated[
        str | None, Flag("--port", "The serial port of a board: /dev/ttyACM0, a USB serial number, or auto.")
    ]
    timeout: Annotated[float, Flag("--timeout", "Seconds that a run may take.", default=DEFAULT_TIMEOUT)]


class Asked(Start, Sampling):
    """A request, as a user makes it."""


class PromptOptions(Sampling, Where):
    """The keywords of a run on several prompts."""


class RunOptions(Asked, Texts, Where):
    """The keywords of a run."""


def asked_in(options: Mapping[str, Any]) -> Asked:
    """Those of a run's keywords that are about the request."""
    return cast(Asked, _those_of(Asked, options))


def sampling_in(options: Mapping[str, Any]) -> Sampling:
    """Those of a run's keywords that are about how the text goes on."""
    return cast(Sampling, _those_of(Sampling, options))


def text_in(options: Mapping[str, Any]) -> TextRequest | None:
    """The text among a run's keywords, or none. Raises UsageError for a second one without a first."""
    text, pair = options.get("text"), options.get("text_pair")
    if text is None and pair is not None:
        raise UsageError("--text-pair goes beside --text.", hint="Give --text, too.")
    return None if text is None else TextRequest(text, pair)


def with_text_as_prompt(options: Mapping[str, Any]) -> RunOptions:
    """A run's keywords for a language model whose encoder reads the text. Raises UsageError for two of them, and for another
    start beside it."""
    text = text_in(options)
    if text is None:
        return cast(RunOptions, dict(options))
    if text.pair is not None:
        raise UsageError("This model's encoder reads one text; --text-pair was given.", hint="Leave it out.")
    given = [f"--{name}" for name in Start.__annotations__ if options.get(name) is not None]
    if given:
        raise UsageError(f"--text and {given[0]} exclude each other.", hint="Give one of them.")
    return cast(RunOptions, {**options, "text": None, "prompt": text.text})


def where_in(options: Mapping[str, Any]) -> Where:
    """Those of a run's keywords that are about its place. Raises TypeError for a keyword that there is not."""
    unknown = sorted(options.keys() - RunOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
    return cast(Where, _those_of(Where, options))


def _those_of(holder: type, options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in holder.__annotations__}
