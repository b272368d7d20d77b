"""The cases that are measured: which model, which cache, at which positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Source = Literal["checkpoint", "bundled", "pte"]

BOARD = "corstone-300"
"""A Cortex-M55, with Helium; the ideal of a case is an eighth of its multiplications there."""

FIRST_POSITION = 7
"""The position of a language model's first figure: the stock runtime was measured there, too."""


@dataclass(frozen=True)
class Llama:
    """A Llama with tied embeddings and as many key/value heads as heads."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int = 512


@dataclass(frozen=True)
class Encoder:
    """A checkpoint that is no decoder: a class of transformers and its configuration. `tokens` of one call; None for
    images."""

    architecture: str
    config: Mapping[str, int]
    tokens: int | None = None


@dataclass(frozen=True)
class Decoder:
    """A decoder of another family, as transformers names it, and what its configuration says beside DECODER_SIZES."""

    family: str
    config: Mapping[str, int]


DECODER_SIZES = {
    "vocab_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@dataclass(frozen=True)
class Case:
    """One row of the table. `cache` is in positions; 0 for a model without a cache. `module` names a .pte of
    benchmarks/models.py, `folder` a checkpoint of this repository, `stream` generate's option of that name. `seed`: of the
    inputs, where they are random. `weights`, `optimize`, `prefill` and `when_full` are generate's options; with a prefill the
    figures are those of a chunk for each of its tokens."""

    name: str
    title: str
    cache: int = 0
    llama: Llama | None = None
    encoder: Encoder | None = None
    decoder: Decoder | None = None
    module: str = ""
    folder: str = ""
    stream: int | None = None
    seed: int = 1
    board: str = BOARD
    weights: Literal["int8", "int4"] = "int8"
    optimize: Literal["speed", "size"] = "speed"
    prefill: int | None = None
    when_full: Literal["stop", "slide"] = "stop"
    scales: Literal["calibrated", "dynamic"] | None = None

    @property
    def cache_scales(self) -> Literal["calibrated", "dynamic"]:
        """generate's --kv-scales: its default, but for the small Llamas, whose bars are older than it."""
        return self.scales or ("dynamic" if self.llama is None else "calibrated")

    @property
    def source(self) -> Source:
        made = (self.llama, self.decoder, self.encoder)
        if self.folder or any(each is not None for each in made):
            return "checkpoint"
        return "pte" if self.module else "bundled"

    @property
    def length(self) -> int | None:
        """generate's --max-cache-len: None for a model without."""
        return self.encoder.tokens if self.encoder is not None else self.cache or None

    @property
    def positions(self) -> tuple[int, int]:
        """The two positions that are measured, of a prefill those that its first and last chunk end with, of a cache that
        slides the last one as long behind it; steps of a model without a cache are all alike."""
        if self.prefill is not None:
            return (self.prefill - 1, self.cache - 1)
        if self.when_full == "slide":
            return (FIRST_POSITION, 2 * self.cache - 1)
        return (FIRST_POSITION, self.cache - 1) if self.cache else (0, 1)


CASE_A = Case("A", "Llama, hidden 64, 2 layers, cache 64", 64, Llama(64, 2, 4, 172))
CASE_B = Case("B", "Llama, hidden 256, 4 layers, cache 128", 128, Llama(256, 4, 8, 688))
CASE_C = Case("C", "MLP 512-2048-512, ReLU, int8 throughout", module="mlp")
BUNDLED = tuple(
    Case(f"bundled-{length}", f"the bundled model, cache {length}", length) for length in (64, 128, 256, 512)
)

DYNAMIC = Case("B-dynamic", "case B with cache scales found at run time", 128, CASE_B.llama, scales="dynamic")
SIZE = Case("B-size", "case B with --optimize size", 128, CASE_B.llama, optimize="size")
INT4 = (
    Case("B-int4", "case B with int4 weights", 128, CASE_B.llama, weights="int4"),
    Case("bundled-512-int4", "the bundled model with int4 weights, cache 512", 512, weights="int4"),
)
OTHER_CORES = (
    Case("B-m4", "case B on a Cortex-M4", 128, CASE_B.llama, board="mps2-an386"),
    Case("B-m7", "case B on a Cortex-M7", 128, CASE_B.llama, board="mps2-an500"),
    Case("bundled-64-m4", "the bundled model on a Cortex-M4, cache 64", 64, board="mps2-an386"),
    Case("bundled-64-m4-int4", "the same with int4 weights", 64, board="mps2-an386", weights="int4"),
)

PREFILL = (
    Case("B-prefill", "case B, a prompt's token in chunks of 16", 128, CASE_B.llama, prefill=16),
    Case("bundled-64-prefill", "the bundled model likewise, cache 64", 64, prefill=16),
    Case("B-m4-prefill", "case B likewise on a Cortex-M4", 128, CASE_B.llama, board="mps2-an386", prefill=16),
    Case(
        "bundled-64-m4-prefill",
        "the bundled model likewise on a Cortex-M4, cache 64",
        64,
        board="mps2-an386",
        prefill=16,
    ),
)

_VIT = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 192,
    "image_size": 32,
    "patch_size": 4,
    "num_labels": 10,
}
_BERT = {
    "vocab_size": 1024,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 128,
}
VIT = Case(
    "vit",
    "ViT, 4 layers of 96, image 32 x 32 in patches of 4",
    encoder=Encoder("ViTForImageClassification", _VIT),
)
BERT = tuple(
    Case(
        f"bert-{length}",
        f"BERT, 2 layers of 128, {length} tokens",
        encoder=Encoder("BertForSequenceClassification", _BERT, length),
        seed=seed,
    )
    for length, seed in ((32, 1), (128, 1))
)
"""With seeds whose masks leave the last token visible: attention does not look at keys behind the last."""
CONVOLUTIONS = (
    Case("ds-cnn", "DS-CNN of MLPerf Tiny, 49 x 10, by ExecuTorch's own lowering", module="ds-cnn"),
    Case("mobilenet", "MobileNetV1 x 0.25 at 96 x 96, by ExecuTorch's own lowering", module="mobilenet"),
)

_KEYWORDS = "examples/keyword_spotting/model"
SOUND = (
    Case("keywords", "the keyword example, one second of sound", folder=_KEYWORDS, stream=98),
    Case(
        "keywords-stream",
        "the same in a stream, a tenth of a second",
        folder=_KEYWORDS,
        stream=10,
    ),
    Case(
        "keywords-m4", "one second of sound on a Cortex-M4", folder=_KEYWORDS, stream=98, board="mps2-an386"
    ),
    Case(
        "keywords-stream-m4",
        "a tenth of a second in a stream on a Cortex-M4",
        folder=_KEYWORDS,
        stream=10,
        board="mps2-an386",
    ),
)
"""Steps of all 98 frames of a second, and of 10."""

COMMANDS = Case(
    "commands", "the home commands example, 32 tokens", folder="examples/home_commands/model", seed=4
)
"""With a seed whose mask leaves the last token visible."""

_EXPERTS = {"hidden_size": 128, "intermediate_size": 128, "num_experts": 8, "num_experts_per_tok": 2}
EXPERTS = Case(
    "experts",
    "a mixture of experts: OLMoE, hidden 128, 2 layers, 2 of 8 experts of 128, cache 64",
    64,
    decoder=Decoder("olmoe", _EXPERTS),
)
EXPERTS_INT4 = Case(
    "experts-int4", "the mixture of experts with int4 weights", 64, decoder=EXPERTS.decoder, weights="int4"
)
_WINDOW = {"hidden_size": 64, "intermediate_size": 172, "sliding_window": 64}
WINDOW = Case(
    "window",
    "a window of 64 in a cache of 512: Mistral, hidden 64, 2 layers",
    512,
    decoder=Decoder("mistral", _WINDOW),
)
SLIDE = Case(
    "bundled-64-slide",
    "the bundled model, cache 64, which slides: position 127 for last",
    64,
    when_full="slide",
)

CASES = {
    case.name: case
    for case in (
        CASE_A,
        CASE_B,
        CASE_C,
        *BUNDLED,
        DYNAMIC,
        SIZE,
        *INT4,
        *OTHER_CORES,
        *PREFILL,
        EXPERTS,
        EXPERTS_INT4,
        WINDOW,
        SLIDE,
        VIT,
        *BERT,
        *CONVOLUTIONS,
        *SOUND,
        COMMANDS,
    )
}
