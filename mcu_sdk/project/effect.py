"""Options of a run that would change nothing: they are refused by name, as an option of `generate` is."""

from __future__ import annotations

from collections.abc import Collection

from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import Sampling

SAMPLING = tuple(Sampling.__annotations__)
"""The options that say how a language model's text goes on."""

DRAWING = ("top_k", "top_p", "min_p", "seed")
"""Those among them that make a difference where a token is drawn."""

FLAGS = [f"--{name.replace('_', '-')}" for name in SAMPLING]
"""What SAMPLING is called on the command line."""


def check_effect(
    model: str,
    named: Collection[str],
    *,
    is_language_model: bool,
    temperature: float,
    given_inputs: bool = False,
    given_text: bool = False,
) -> None:
    """Raises UsageError for one of SAMPLING that was named and makes no difference.

    `model`: its name, for the message; `given_inputs`, `given_text`: whether a model of tensors is given arrays of the user's,
    or a text.
    """
    for name in SAMPLING:
        if name not in named:
            continue
        option = f"--{name.replace('_', '-')}"
        if not is_language_model and name != "seed":
            raise UsageError(
                f"{option} is for language models; {model} takes tensors.", hint=f"Leave {option} out."
            )
        if name == "seed" and not is_language_model and (given_inputs or given_text):
            which = "--text gives" if given_text else "--input and --csv give"
            raise UsageError(f"--seed is for made-up inputs; {which} others.", hint="Leave --seed out.")
        if is_language_model and name in DRAWING and temperature == 0:
            raise UsageError(
                f"{option} is for tokens that are drawn; at temperature 0, the default, the likeliest is taken.",
                hint=f"Give --temperature, or leave {option} out.",
            )
