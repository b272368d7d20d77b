"""Device against host: every bit of every step, and the first step that differs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mcu_sdk.planning.language_model import LONGEST_SEQUENCE
from mcu_sdk.project.verdict import Check
from mcu_sdk.targets.protocol import Request, Transcript

if TYPE_CHECKING:
    from mcu_sdk.project.runners import Run


def compare_transcripts(device: Transcript, on_host: Transcript) -> Check:
    """Digest, tokens, text, and the model itself. Facts of one side only, such as counts, are not compared."""
    name = "device = host, bit for bit"
    if device.model is not None and device.model != on_host.model:
        return Check(
            name, False, f"the device runs model {device.model[:16]}, the host {(on_host.model or '')[:16]}"
        )
    for what, left, right in (
        ("digest", device.digest, on_host.digest),
        ("prompt tokens", device.prompt_ids, on_host.prompt_ids),
        ("tokens", device.ids, on_host.ids),
        ("text", device.text, on_host.text),
    ):
        if left != right:
            return Check(name, False, f"{what} {_short(left)} on the device, {_short(right)} on the host")
    if on_host.digest is None:
        return Check(name, False, "neither printed a digest")
    chunks = on_host.number("chunks") or 0
    count = on_host.number("steps") or len(fed_tokens(on_host))
    of_them = (
        f" of {count} tokens, {chunks} chunks of the prompt among them" if chunks else f" over {count} steps"
    )
    return Check(name, True, f"digest {on_host.digest}{of_them}")


def _short(value: object, limit: int = 60) -> str:
    text = str(value) if not isinstance(value, tuple) else ",".join(map(str, value))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def fed_tokens(transcript: Transcript) -> tuple[int, ...]:
    """The token of each step: the prompt, or what a decoder behind an encoder begins with, and every generated token but the
    last, which is not read any more."""
    return (transcript.start_ids or transcript.prompt_ids) + transcript.ids[:-1]


def last_position(transcript: Transcript) -> int:
    """The position of the last step, from 0; of a model that takes tensors, its number."""
    steps = transcript.number("steps")
    return (len(fed_tokens(transcript)) if steps is None else steps) - 1


def first_difference(
    request: Request, on_host: Transcript, run_device: Run, run_host: Run, longest: int = LONGEST_SEQUENCE
) -> str:
    """Name the first step whose outputs differ, by running ever closer prefixes of the host's steps on both.

    `longest`: tokens that a prompt can have; more are the prompt's and those that each chooses itself. A digest covers every step before it, so "the digests of n steps differ" is monotone in n.
    """
    fed = fed_tokens(on_host)
    count = request.steps if request.steps is not None else len(fed)

    def differs(steps: int) -> bool:
        if request.steps is not None:
            wanted = replace(request, steps=steps)
        elif on_host.start_ids:  # its prompt is the encoder's
            wanted = replace(request, tokens=max(steps - len(on_host.start_ids) + 1, 0))
        elif steps <= longest:
            wanted = Request(ids=fed[:steps], tokens=0)
        else:
            wanted = replace(request, tokens=steps - len(on_host.prompt_ids) + 1)
        return run_device(wanted).digest != run_host(wanted).digest

    if not differs(count):
        return "every step's outputs agree, so the choice of tokens or their text differs"
    low, high = (
        max(len(on_host.start_ids) - 1, 0),
        count,
    )  # the outputs of `low` steps agree, those of `high` differ
    while high - low > 1:
        middle = (low + high) // 2
        if differs(middle):
            high = middle
        else:
            low = middle
    token = "" if request.steps is not None else f" (token {fed[high - 1]} at position {high - 1})"
    return f"the first step that differs is step {high} of {count}{token}"
