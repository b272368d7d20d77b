"""What is compiled, and for what: what an option makes a difference to."""

from __future__ import annotations

import enum


class Kind(enum.Flag):
    """What is compiled, and for what: options apply to some of these."""

    DECODER = enum.auto()
    DECODER_NPU = enum.auto()
    ENCODER = enum.auto()
    ENCODER_DECODER = enum.auto()
    ENCODER_NPU = enum.auto()
    PTE_TOKENS = enum.auto()
    PTE_TEXTS = enum.auto()
    PTE_TENSORS = enum.auto()

    def __str__(self) -> str:
        """For messages: what it is, in as few words as it takes."""
        words, left = [], self
        for kind, word in WORDS.items():
            if kind & left == kind:
                words.append(word)
                left &= ~kind
        return " or ".join(words)


ON_NPU = Kind.DECODER_NPU | Kind.ENCODER_NPU
ON_PROCESSOR = Kind.DECODER | Kind.ENCODER | Kind.ENCODER_DECODER
CHECKPOINT = ON_PROCESSOR | ON_NPU
PTE = Kind.PTE_TOKENS | Kind.PTE_TEXTS | Kind.PTE_TENSORS
TEXTS = (
    Kind.DECODER | Kind.DECODER_NPU | Kind.ENCODER | Kind.ENCODER_DECODER | Kind.PTE_TOKENS | Kind.PTE_TEXTS
)
TOKENS = Kind.DECODER | Kind.DECODER_NPU | Kind.PTE_TOKENS
ANSWERS = TOKENS | Kind.ENCODER_DECODER
ANY = CHECKPOINT | PTE

WORDS = {
    CHECKPOINT: "a checkpoint",
    PTE: "a .pte",
    ON_NPU: "a checkpoint on an NPU",
    ON_PROCESSOR: "a checkpoint on a processor",
    TOKENS: "a language model",
    Kind.DECODER | Kind.DECODER_NPU: "a decoder's checkpoint",
    Kind.DECODER: "a decoder's checkpoint on a processor",
    Kind.DECODER_NPU: "a decoder's checkpoint on an NPU",
    Kind.ENCODER: "an encoder's checkpoint on a processor",
    Kind.ENCODER_DECODER: "an encoder-decoder's checkpoint",
    Kind.ENCODER_NPU: "an encoder's checkpoint on an NPU",
    Kind.PTE_TOKENS: "a language model's .pte",
    Kind.PTE_TEXTS: "an encoder's .pte",
    Kind.PTE_TENSORS: "a .pte that takes tensors",
}
