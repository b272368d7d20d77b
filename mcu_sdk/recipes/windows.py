"""What a decoder is calibrated on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcu_sdk.errors import ModelError
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import CompileOptions

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def calibration_windows(
    checkpoint: Checkpoint, model: PreTrainedModel, options: CompileOptions, cache_length: int
) -> torch.Tensor:
    """Tokens to calibrate on, int64[n, L]: of the user's text, or what the model generates; L is the cache's length
    or LONGEST_WINDOW. Raises ModelError for a text without a tokenizer, TextError for one that cannot be read."""
    from mcu_sdk.lowering.calibrate import LONGEST_WINDOW, read_windows, sample_windows

    length = min(cache_length, LONGEST_WINDOW)
    if options.calibration_text is None:
        return sample_windows(model, length)
    from mcu_sdk.model.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(checkpoint.folder)
    if tokenizer is None:
        raise ModelError(
            f"--calibration-text needs the checkpoint's tokenizer; {checkpoint.name} has none.",
            hint="Leave the option out: the model then generates what it is calibrated on.",
        )
    return read_windows(options.calibration_text, tokenizer, length)
