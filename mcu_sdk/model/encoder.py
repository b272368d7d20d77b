"""Checkpoints that are no decoders (BERT-like, image classifiers): named tensors in, the task's tensors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import nn

from mcu_sdk.errors import ModelError
from mcu_sdk.model.folder import read_config
from mcu_sdk.model.input_shapes import shape_of_input
from mcu_sdk.model.load import Checkpoint, load_frozen
from mcu_sdk.model.pooling import Pooling, read_pooling
from mcu_sdk.model.sound_processor import sound_facts
from mcu_sdk.model.sound_rows import MASK, Rows, find_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Task:
    """What a class of transformers is for: the fields of its result that become outputs, and whether they are scores of
    classes. Of `optional` ones those that the model gives."""

    name: str
    outputs: tuple[str, ...]
    logits: bool = True
    optional: tuple[str, ...] = ()


FEATURES = Task("feature-extraction", ("last_hidden_state",), logits=False, optional=("pooler_output",))

TASKS = {
    "AutoModelForSequenceClassification": Task("text-classification", ("logits",)),
    "AutoModelForTokenClassification": Task("token-classification", ("logits",)),
    "AutoModelForMaskedLM": Task("fill-mask", ("logits",)),
    "AutoModelForQuestionAnswering": Task("question-answering", ("start_logits", "end_logits")),
    "AutoModelForNextSentencePrediction": Task("next-sentence-prediction", ("logits",)),
    "AutoModelForImageClassification": Task("image-classification", ("logits",)),
    "AutoModelForAudioClassification": Task("audio-classification", ("logits",)),
    "AutoModelForSemanticSegmentation": Task("image-segmentation", ("logits",)),
    "AutoModelForCTC": Task("automatic-speech-recognition", ("logits",)),
    "AutoModel": FEATURES,
}
"""By the class of transformers that lists the architectures; the first that does."""

_SERIES, _FORECAST, _REGRESSION = (
    "time-series-classification",
    "time-series-prediction",
    "time-series-regression",
)

OTHER_NAMES = {
    "T5EncoderModel": FEATURES,
    "PatchTSTForClassification": Task(_SERIES, ("prediction_logits",)),
    "PatchTSMixerForTimeSeriesClassification": Task(_SERIES, ("prediction_outputs",)),
    "PatchTSTForPrediction": Task(_FORECAST, ("prediction_outputs",), logits=False),
    "PatchTSMixerForPrediction": Task(_FORECAST, ("prediction_outputs",), logits=False),
    "PatchTSTForRegression": Task(_REGRESSION, ("regression_outputs",), logits=False),
    "PatchTSMixerForRegression": Task(_REGRESSION, ("regression_outputs",), logits=False),
}
"""Architectures that none of them lists."""

SOUND_INPUTS = ("input_features", "input_values")
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def encoder_architecture(checkpoint: Checkpoint) -> str | None:
    """The class that config.json names, if it is one of transformers' that is no causal language model; else None."""
    from transformers import AutoModelForCausalLM

    config = read_config(checkpoint.folder)
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        return None
    if names[0] in listed(AutoModelForCausalLM) or _class_named(names[0], config) is None:
        return None
    return names[0]


def _class_named(architecture: str, config: Mapping[str, Any]) -> type | None:
    """transformers' class of this name: a public one, or the encoder of its family, as `model.get_encoder()` saves it."""
    import transformers

    public = getattr(transformers, architecture, None)
    if isinstance(public, type):
        return public
    return _part_named(architecture, config)


def _part_named(architecture: str, config: Mapping[str, Any]) -> type | None:
    """The encoder of an encoder-decoder's family, such as Whisper's or Moonshine's; None for anything else."""
    import sys

    from transformers import CONFIG_MAPPING, MODEL_MAPPING, PreTrainedModel

    family = config.get("model_type")
    if not architecture.endswith("Encoder") or not isinstance(family, str) or family not in CONFIG_MAPPING:
        return None
    listed: Any = MODEL_MAPPING.get(CONFIG_MAPPING[family], None)
    whole = listed[0] if isinstance(listed, tuple) else listed
    if whole is None:
        return None
    part = getattr(sys.modules[whole.__module__], architecture, None)
    return part if isinstance(part, type) and issubclass(part, PreTrainedModel) else None


BOTH = ("AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq")
"""Whose classes are an encoder and a decoder in one."""


def listed(auto: Any) -> set[str]:
    """The names of the classes in the mapping of one of transformers' Auto classes."""
    names: set[str] = set()
    for value in auto._model_mapping._model_mapping.values():
        names.update(value if isinstance(value, (list, tuple)) else (value,))
    return names


def task_of(architecture: str, name: str) -> Task:
    """The task of a class of transformers. Raises ModelError for one that is for something else."""
    import transformers

    for auto, task in TASKS.items():
        if architecture in listed(getattr(transformers, auto)):
            return task
    if architecture in OTHER_NAMES:
        return OTHER_NAMES[architecture]
    if architecture.endswith("Encoder") and not hasattr(transformers, architecture):
        return FEATURES  # part of a family, see _part_named
    if any(architecture in listed(getattr(transformers, auto)) for auto in BOTH):
        raise ModelError(
            f"A decoder or an encoder was expected for an NPU; {name} is a {architecture}, an encoder with a decoder that attends "
            "to it, which the board's processor runs.",
            hint="Take --target with the board's processor, or save one of its halves as a checkpoint of its own.",
        )
    known = ", ".join(sorted({task.name for task in TASKS.values()}))
    raise ModelError(
        f"An encoder for one of these tasks was expected: {known}. {name} is a {architecture}, which is for another one.",
        hint="Compile it with mcu_sdk.compile_module, or lower it yourself and pass the result with --pte.",
    )


class Front(Protocol):
    """A module before an encoder: what a sensor gives in, the encoder's main input out."""

    facts: dict[str, Any]
    input_names: tuple[str, ...]

    def calls_of(self, recorded: Sequence[Any]) -> list[tuple[torch.Tensor, ...]]:
        """The calls of sounds of int16 samples, or of frames of uint8 pixels [H, W, C]."""

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The main input."""


@runtime_checkable
class Microphone(Front, Protocol):
    """Of sound."""

    @property
    def heard(self) -> int:
        """Samples of a sound to calibrate on."""

    def take(self, shape: tuple[int, ...]) -> None:
        """Make inputs of this shape, where the configuration does not say it."""


@runtime_checkable
class Camera(Front, Protocol):
    """Of images: frames of (height, width) pixels."""

    frame: tuple[int, int]
    channels: int


MakeFront = Callable[["PreTrainedModel", Checkpoint], Front | None]
"""Of a model, with what its checkpoint says of sounds or images; None for one that takes its main input as it is."""


class Encoder(nn.Module):
    """forward(*inputs) -> the task's outputs, a tuple of float32 tensors.

    `inputs` are named by `input_names`: token ids int64[1, L] and, beside them, the mask of those that count and the
    segment of each, both int64[1, L]; or pixel values float32[1, C, H, W]; or a signal (model/input_shapes.py), or what
    `front` makes it of, samples of sound (operators/reference/sound_front.py) or a camera's frame (recipes/frame.py).
    `rows`: of sounds that a decoder is told of (`for_decoder`), which of its rows count; the last input is their mask then.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        task: Task,
        pooling: Pooling | None,
        *,
        front: Front | None = None,
        for_decoder: bool = False,
    ) -> None:
        super().__init__()
        self.rows: Rows | None = None
        self.for_decoder = for_decoder
        self.model, self.task, self.pooling, self.front = model, task, pooling, front
        self.input_name = str(model.main_input_name)
        self.input_names = _input_names(model)
        if for_decoder:  # of a text in one part
            self.input_names = tuple(name for name in self.input_names if name != "token_type_ids")
        if front is not None:
            self.input_names = front.input_names
        self.output_names = task.outputs if pooling is None else ("sentence_embedding",)
        self.gives_logits = task.logits
        self.float_parts = () if pooling is None else ("pooling",)

    @property
    def length_option(self) -> str:
        """generate's option that says how much of a text or a waveform it reads."""
        return "--max-encoder-len" if self.for_decoder else "--max-cache-len"

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = self.given(inputs)
        results = self.model(**given)
        if self.pooling is not None:
            return (self.pooling(results["last_hidden_state"], given.get("attention_mask")),)
        return tuple(results[name] for name in self.output_names)

    def given(self, inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """What the model is called with."""
        if self.front is not None and self.rows is not None:
            heard = self.front(*inputs[:-1])
            return {self.input_name: heard, MASK: self.rows.of_samples(inputs[-1])}
        if self.front is not None:
            return {self.input_name: self.front(*inputs)}
        return dict(zip(self.input_names, inputs, strict=True))

    def take_sound(self, shape: tuple[int, ...]) -> None:
        """Make its front end give inputs of this shape; where a decoder attends to a waveform, find out which of its rows
        count of a shorter one. Errors as find_rows raises them."""
        assert isinstance(self.front, Microphone)
        self.front.take(shape)
        if self.for_decoder and len(shape) == 2:
            self.rows = find_rows(self.model, shape[1])
        self.input_names = (*self.front.input_names, *([MASK] if self.rows is not None else []))

    def sound_call(self, sound: NDArray[Any]) -> tuple[torch.Tensor, ...]:
        """The inputs of a sound of int16 samples, cut or filled up to its length."""
        assert isinstance(self.front, Microphone)
        (call,) = self.front.calls_of([sound])
        return call if self.rows is None else (*call, self.rows.mask(min(len(sound), self.rows.samples)))

    def look_for_optional_outputs(self, call: tuple[torch.Tensor, ...]) -> None:
        """Add those of the task's optional outputs that the model gives for a call."""
        if self.pooling is None:
            with torch.no_grad():
                results = self.model(**self.given(call))
            found = tuple(name for name in self.task.optional if results.get(name) is not None)
            self.output_names = (*self.task.outputs, *found)


def _input_names(model: PreTrainedModel) -> tuple[str, ...]:
    """What the model reads: ids, their mask and, where it knows several segments, these; or its main input alone."""
    import inspect

    if model.main_input_name != "input_ids":
        return (str(model.main_input_name),)
    taken = inspect.signature(model.forward).parameters
    segments = int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
    return tuple(name for name in TEXT_INPUTS if name in taken and (segments or name != "token_type_ids"))


def load_encoder(
    checkpoint: Checkpoint, architecture: str, *, for_npu: bool = True, make_front: MakeFront | None = None
) -> Encoder:
    """The model in float32 and evaluation mode. `make_front` makes the part that takes what a sensor gives. Raises ModelError
    for weights that are missing, broken or not finite, and for a class or a pooling that is not known.

    For an NPU it has attention in plain PyTorch, which ExecuTorch's quantizer wants; for a processor it has
    scaled_dot_product_attention where its class can.
    """
    task = task_of(architecture, checkpoint.name)
    config = read_config(checkpoint.folder)
    encoder_alone = (
        architecture in OTHER_NAMES
        or _part_named(architecture, config) is not None
        or task.name == "audio-classification"  # Whisper's: its encoder and a head
    )
    if config.get("is_encoder_decoder") and not encoder_alone:
        raise ModelError(
            f"An encoder alone was expected; {checkpoint.name}, a {architecture}, has a decoder, too.",
            hint="Save its encoder, model.get_encoder().save_pretrained(FOLDER), and give that folder; or lower the whole "
            "yourself and pass the result with --pte.",
        )
    kind = _class_named(architecture, config)
    pooling = read_pooling(checkpoint.folder, checkpoint.name) if task is FEATURES else None
    model = load_frozen(checkpoint, kind, eager=for_npu)
    front = None
    if make_front is not None and not for_npu:
        front = make_front(model, checkpoint)
    return Encoder(model, task, pooling, front=front)


def sound_facts_of(model: PreTrainedModel, checkpoint: Checkpoint) -> dict[str, Any] | None:
    """How sounds become the model's main input (sound_processor.py); None for a model that is for something else."""
    name = str(model.main_input_name)
    shape = shape_of_input(name, model.config, None) if name in SOUND_INPUTS else None
    return None if shape is None else sound_facts(checkpoint.folder, shape)


def labels_of(encoder: Encoder) -> dict[str, Any] | None:
    """How the scores of a classifier are read: {"output", "names", "scores"}; None for what is none. Raises ModelError for
    names of other classes than it has.

    `scores`: "softmax" where one label is right, "sigmoid" where each may be, "value" for a regression.
    """
    config = encoder.model.config
    if not encoder.task.name.endswith("classification"):
        return None
    names = {int(number): str(label) for number, label in (config.id2label or {}).items()}
    count = int((config.num_targets if encoder.task.name == _SERIES else config.num_labels) or 0)
    strange = sorted(set(names) - set(range(count))) if encoder.task.name != _SERIES else []
    if strange:
        raise ModelError(
            f"id2label of config.json was expected to name the classes 0 to {count - 1}; it names {strange[0]}, and "
            f"{count} in all.",
            hint="Number the names from 0 on, as many as the head has scores.",
        )
    problem = getattr(config, "problem_type", None)
    scores = "softmax"
    if problem == "multi_label_classification":
        scores = "sigmoid"
    elif problem == "regression" or count == 1:
        scores = "value"
    return {
        "output": encoder.output_names[0],
        "names": [names.get(number, f"LABEL_{number}") for number in range(count)],
        "scores": scores,
    }
