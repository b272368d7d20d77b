"""What the end of an answer means to the user."""

from __future__ import annotations

from mcu_sdk.errors import McuSdkError, RunError, TextError, UsageError
from mcu_sdk.npu.failures import driver_error
from mcu_sdk.targets.executorch import runtime_failure
from mcu_sdk.targets.protocol import LONGEST_STOP, MOST_BIASES, Transcript


class InputsLostError(RunError):
    """A board forgot the inputs that it had been given: it was reset, or somebody else used it."""


_REASONS: dict[str, tuple[type[McuSdkError], str, str]] = {
    "text_not_encodable": (
        TextError,
        "the tokenizer cannot encode the prompt",
        "Leave out what is not in its vocabulary, or give token ids (--ids, an encoder --input).",
    ),
    "text_too_long": (
        TextError,
        "the text is longer than its room for one",
        "Give a shorter text.",
    ),
    "text_and_steps": (UsageError, "it takes a text or made-up inputs, not both", "Give one of them."),
    **dict.fromkeys(
        ("pair_without_text", "pair_for_a_language_model"),
        (UsageError, "a second text goes beside a first one, to an encoder", "Leave the second one out."),
    ),
    "no_tokenizer": (TextError, "the project has no tokenizer", "Give the prompt as token ids (--ids)."),
    "prompt_too_long": (
        UsageError,
        "the prompt is longer than what the model reads",
        "Give a shorter prompt.",
    ),
    "line_too_long": (UsageError, "the request is longer than its line buffer", "Give a shorter prompt."),
    "empty_prompt": (UsageError, "the prompt has no tokens", "Give at least one character or token id."),
    "id_out_of_range": (
        UsageError,
        "a token id is not in the vocabulary",
        "`mcu-sdk inspect` shows its size.",
    ),
    "bad_bias": (
        UsageError,
        "logit biases are ID:VALUE, each token of the vocabulary once, and no more than it has room for",
        f"Give at most {MOST_BIASES}.",
    ),
    "chat_full": (
        UsageError,
        "the cache has no room for this turn of the conversation",
        "Begin a new conversation, or generate with a longer --max-cache-len.",
    ),
    "no_system": (
        UsageError,
        "its chat template takes no system text",
        "Leave --system out, or give it to `mcu-sdk generate`.",
    ),
    "bad_stop": (
        UsageError,
        f"a stop text has 1 to {LONGEST_STOP} bytes",
        "Give its beginning.",
    ),
    "app_chooses_tokens": (
        UsageError,
        "its app/main.cpp chooses tokens itself, by temperature and top-k alone, and follows no grammar",
        "Take `chooser.next(logits)` into it, as the app/main.cpp of a newly generated project has it.",
    ),
    "grammar_needs_tokens": (
        UsageError,
        "the shortest answer that the project's grammar allows takes more tokens than there can be",
        "Give more --tokens, a shorter prompt, or generate with a longer --max-cache-len.",
    ),
    "steps_expected": (
        UsageError,
        "the model takes tensors, not a prompt",
        "Leave the prompt out; use --steps.",
    ),
    "not_a_language_model": (
        UsageError,
        "the model takes tensors, not a prompt",
        "Leave the prompt out; use --steps.",
    ),
    "no_prompt_is_taken": (
        UsageError,
        "the answers of the model are about what its encoder takes, not about a prompt",
        "Give it --audio, or --input.",
    ),
    "steps_for_a_language_model": (
        UsageError,
        "the model is a language model",
        "Use --prompt or --ids, not --steps.",
    ),
    **dict.fromkeys(
        ("out_of_order", "no_outputs", "inputs_expected"),
        (
            InputsLostError,
            "it no longer has what came before, so it was reset or used by somebody else",
            "Check its power and its watchdog, and that nothing else uses the port.",
        ),
    ),
    **dict.fromkeys(
        ("too_many_bytes", "no_such_bytes"),
        (
            RunError,
            "its model has other inputs or outputs",
            "Build and flash the project again.",
        ),
    ),
    **dict.fromkeys(
        ("unknown_key", "unknown_request", "bad_crc"),
        (
            RunError,
            "it does not understand it, so it is of another version, or the line loses bytes",
            "Regenerate, build and flash the project; at a serial port try a lower baud rate.",
        ),
    ),
}
"""What a firmware's `verdict=error reason=...` means to the user."""


def check_verdict(transcript: Transcript, target: str) -> Transcript:
    """The transcript, if its verdict is "ok".

    Raises RunError without a verdict or with an unknown complaint, UsageError or TextError where the firmware
    refused the request, and what FAILURES says where the NPU failed.
    """
    if transcript.verdict == "ok":
        return transcript
    if transcript.verdict is None:
        raise RunError(
            f"The run on {target} ended without a verdict line (`@mcu verdict=ok` was expected).",
            hint="The firmware died or is another one than this project's: build again and look at what it printed.",
        )
    reason = transcript.facts.get("reason", "unknown")
    if reason in _REASONS:
        kind, meaning, hint = _REASONS[reason]
        told = [f"{key}={transcript.facts[key]}" for key in ("shortest", "left") if key in transcript.facts]
        which = ", ".join([reason, *told])
        raise kind(f"The firmware on {target} refused the request: {meaning} ({which}).", hint=hint)
    if reason == "self_test_failed":
        raise RunError(
            f"The self-test of the firmware on {target} found a broken kernel: {transcript.facts.get('kernel')}.",
            hint="Build again; if it stays, the kernel in sdk/, the compiler, or this board's memory is not what it was.",
        )
    details = ", ".join(f"{key}={value}" for key, value in transcript.facts.items() if key not in _ORDINARY)
    npu = driver_error(reason, target, details)
    if npu is not None:
        raise npu
    official = runtime_failure(reason, target, details)
    if official is not None:
        raise official
    raise RunError(
        f"The firmware on {target} failed: {reason}" + (f" ({details})." if details else "."),
        hint="docs/run-protocol.md lists the reasons.",
    )


_ORDINARY = frozenset(
    {"model", "name", "board", "arena", "kv_cache", "counter", "ready", "verdict", "reason"}
)
