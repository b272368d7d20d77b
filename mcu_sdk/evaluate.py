"""Bits per byte on a text: the float checkpoint in PyTorch against the quantized one.

The firmware's figure comes from the same C++ sources that run on the device, built for the host; the digests of `verify`
are what carries it over. For an NPU it comes from the quantized step in PyTorch with the NPU's roundings, many windows
at a time; that its integers are the device's is a test's to show.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.console import quiet_libraries, step
from mcu_sdk.errors import TextError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from mcu_sdk.model.load import Checkpoint
    from mcu_sdk.options import CompileOptions

BATCH = 8
"""Windows that the float model reads at once."""

NPU_BATCH = 128
"""Windows that an NPU's step reads side by side."""


@dataclass(frozen=True)
class Text:
    """Token ids of a text, its UTF-8 bytes, and how many positions one window has."""

    ids: NDArray[np.int64]
    byte_count: int
    window: int

    def windows(self) -> list[NDArray[np.int64]]:
        """Non-overlapping windows of at least two tokens: the cache is reset at each."""
        parts = [self.ids[i : i + self.window] for i in range(0, len(self.ids), self.window)]
        return [part for part in parts if len(part) > 1]

    def bits_per_byte(self, total_nats: float) -> float:
        """Mean loss in nats per predicted token / ln 2 x tokens / UTF-8 bytes."""
        predicted = sum(len(part) - 1 for part in self.windows())
        return total_nats / predicted / math.log(2) * len(self.ids) / self.byte_count


@dataclass(frozen=True)
class Score:
    """One row of the result: bits per byte, and its difference from the float checkpoint in percent."""

    name: str
    bits_per_byte: float
    over_float_percent: float


def read_text(path: Path, checkpoint: Checkpoint, window: int, begin: float) -> Text:
    """The part of a UTF-8 file behind the fraction `begin` of its characters, as token ids.

    Raises TextError for a file that cannot be read or is too short, ModelError when the checkpoint has no tokenizer.
    """
    import numpy as np

    from mcu_sdk.model import tokenizer as tokens
    from mcu_sdk.model.folder import read_config
    from mcu_sdk.model.special_tokens import vocabulary_of

    if not 0 <= begin < 1:
        raise UsageError(f"--begin takes a fraction from 0 up to, not including, 1; {begin} was given.")
    text = tokens.read_text(path, "to measure on")
    text = text[int(len(text) * begin) :]
    tokenizer = tokens.require_tokenizer(checkpoint.folder, checkpoint.name, "The text")
    vocabulary = vocabulary_of(read_config(checkpoint.folder))
    ids = np.array(tokens.text_ids(tokenizer, text, vocabulary, path), dtype=np.int64)
    if len(ids) < 2:
        raise TextError(f"A text of at least two tokens was expected; {path} has {len(ids)}.")
    return Text(ids, len(text.encode("utf-8")), window)


def float_score(checkpoint: Checkpoint, text: Text) -> float:
    """Bits per byte of the checkpoint in float32 PyTorch."""
    from mcu_sdk.model.load import load_model

    return model_score(load_model(checkpoint), text)


def model_score(model: PreTrainedModel, text: Text) -> float:
    """Bits per byte of a model in PyTorch."""
    import torch

    total = 0.0
    windows = [torch.from_numpy(part) for part in text.windows()]
    full = [part for part in windows if len(part) == text.window]
    batches = [torch.stack(full[i : i + BATCH]) for i in range(0, len(full), BATCH)]
    batches += [part[None] for part in windows if len(part) != text.window]
    with torch.no_grad():
        for batch in batches:
            logits = model(input_ids=batch).logits[:, :-1].double()
            targets = batch[:, 1:]
            total += torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), reduction="sum"
            ).item()
    return text.bits_per_byte(total)


def firmware_score(library: Path, text: Text) -> float:
    """Bits per byte of a project's host library, in double precision from its float32 logits."""
    import numpy as np

    from mcu_sdk.project.host_library import HostModel

    model = HostModel(library)
    total = 0.0
    for window in text.windows():
        logits = model.tokens(window)[:-1].astype(np.float64)
        greatest = logits.max(-1, keepdims=True)
        normalizer = np.log(np.exp(logits - greatest).sum(-1)) + greatest[:, 0]
        total += float((normalizer - logits[np.arange(len(window) - 1), window[1:]]).sum())
    return text.bits_per_byte(total)


def npu_score(checkpoint: Checkpoint, options: CompileOptions, text: Text) -> float:
    """Bits per byte of the quantized step in PyTorch, with the NPU's integers (ethos_u/arithmetic.py)."""
    import torch

    from mcu_sdk.lowering.ethos_u.score import total_loss
    from mcu_sdk.recipes.decoder_npu import npu_step

    assert options.npu is not None
    windows = [torch.from_numpy(part) for part in text.windows()]
    full = [part for part in windows if len(part) == text.window]
    with quiet_libraries():
        quantized, _, _ = npu_step(checkpoint, options, options.npu, batch=min(len(full), NPU_BATCH) or 1)
    with step(f"Measuring {options.npu.accelerator} on {len(text.ids):,} tokens"):
        total = total_loss(quantized, torch.stack(full)) if full else 0.0
        for part in windows:
            if len(part) != text.window:
                total += total_loss(quantized, part[None])
    return text.bits_per_byte(total)


def evaluate(
    model: str | None,
    text_path: Path,
    variants: Sequence[CompileOptions],
    *,
    begin: float = 0.0,
    use_cache: bool = True,
    flash: int | None = None,
) -> list[Score]:
    """The float checkpoint first, then each quantized variant, all on the same windows of the model's whole context.
    `flash`: bytes of a .pte at most, of variants whose weights are chosen."""
    from mcu_sdk.model.load import find_checkpoint
    from mcu_sdk.recipes.decoder_length import decoder_length
    from mcu_sdk.recipes.windows import check_calibration_text

    for options in variants:
        options.check()
        if options.npu is not None and options.weights == "auto":
            raise UsageError(
                "--weights auto chooses by the bytes of what is compiled; an NPU's step is measured before that.",
                hint="Give --weights int8 or int4.",
            )
    checkpoint = find_checkpoint(model)
    with step("Reading the text"):
        text = read_text(text_path, checkpoint, 0, begin)
        for options in variants:
            check_calibration_text(checkpoint, options)
    with step("Loading PyTorch"), quiet_libraries():
        text = replace(text, window=decoder_length(checkpoint, variants[0]))
    with step(f"Measuring the float checkpoint on {len(text.ids):,} tokens"), quiet_libraries():
        reference = float_score(checkpoint, text)
    scores = [Score("float32 checkpoint (PyTorch)", reference, 0.0)]
    for options in variants:
        if options.npu is not None:
            few = ", few levels" if options.weights == "int4" else ""
            name = f"{options.npu.accelerator}, {options.npu.activation_bits}-bit activations{few} (PyTorch)"
            value = npu_score(checkpoint, options, text)
            scores.append(Score(name, value, (value / reference - 1) * 100))
            continue
        with tempfile.TemporaryDirectory(prefix="mcu-sdk-evaluate-") as folder:
            library = _host_library(model, options, Path(folder) / "project", use_cache, flash)
            name = f"{options.weights}, activations {options.activations}, KV scales {options.cache_scales}"
            with step(f"Measuring {name}"):
                value = firmware_score(library, text)
        scores.append(Score(name, value, (value / reference - 1) * 100))
    return scores


def _host_library(
    model: str | None, options: CompileOptions, folder: Path, use_cache: bool, flash: int | None
) -> Any:
    from mcu_sdk.generation import generate
    from mcu_sdk.options import GenerateRequest
    from mcu_sdk.project.build import build

    request = GenerateRequest("host", options, model=model, output=folder, use_cache=use_cache, flash=flash)
    project = generate(request).project
    return build(project, "host").library
