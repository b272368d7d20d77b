"""The models of the cases, with seeded random weights."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cases import DECODER_SIZES, Decoder, Encoder, Llama
from mcu_sdk.project.files import replace_file

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

INITIALIZER_RANGE = 0.2
"""The standard deviation of the weights: with transformers' 0.02 the logits would hardly differ from one another."""


def llama_checkpoint(llama: Llama, positions: int, folder: Path, seed: int = 0) -> Path:
    """The folder of a saved checkpoint, below `folder`; made on first use."""

    def make() -> PreTrainedModel:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=llama.vocabulary,
            hidden_size=llama.hidden,
            intermediate_size=llama.intermediate,
            num_hidden_layers=llama.layers,
            num_attention_heads=llama.heads,
            num_key_value_heads=llama.heads,
            max_position_embeddings=positions,
            initializer_range=INITIALIZER_RANGE,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
        return LlamaForCausalLM(config)

    facts = repr((sorted(asdict(llama).items()), positions, seed, INITIALIZER_RANGE))
    return _saved("llama", facts, make, folder, seed)


def decoder_checkpoint(decoder: Decoder, positions: int, folder: Path, seed: int = 0) -> Path:
    """The same of another family's decoder."""
    settings = {**DECODER_SIZES, "max_position_embeddings": positions, **decoder.config}

    def make() -> PreTrainedModel:
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.for_model(
            decoder.family, **settings, initializer_range=INITIALIZER_RANGE, tie_word_embeddings=True
        )
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        return model

    facts = repr((decoder.family, sorted(settings.items()), seed, INITIALIZER_RANGE))
    return _saved("decoder", facts, make, folder, seed)


def encoder_checkpoint(encoder: Encoder, folder: Path, seed: int = 0) -> Path:
    """The same of an encoder."""

    def make() -> PreTrainedModel:
        import transformers

        kind = getattr(transformers, encoder.architecture)
        model: PreTrainedModel = kind(
            kind.config_class(**encoder.config, initializer_range=INITIALIZER_RANGE)
        )
        return model

    facts = repr((encoder.architecture, sorted(encoder.config.items()), seed, INITIALIZER_RANGE))
    return _saved("encoder", facts, make, folder, seed)


def _saved(kind: str, facts: str, make: Callable[[], PreTrainedModel], folder: Path, seed: int) -> Path:
    """`folder`/`kind`-(a hash of `facts`), with what `make` gives after seeding."""
    destination = folder / f"{kind}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
    if destination.exists():
        return destination
    import torch

    torch.manual_seed(seed)
    model = make().eval()
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder))
    model.save_pretrained(beside, safe_serialization=True)
    with contextlib.suppress(OSError):  # another process was first
        os.rename(beside, destination)
    return destination


def multilayer_perceptron(seed: int = 0) -> torch.nn.Module:
    """Case C: 512 -> 2048 -> ReLU -> 512."""
    import torch

    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 512)).eval()


def multilayer_perceptron_inputs(seed: int = 1, count: int = 64) -> list[torch.Tensor]:
    """Inputs to calibrate case C on: `count` tensors float32[1, 512] of normal noise."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 512, generator=generator) for _ in range(count)]


def lower_multilayer_perceptron() -> bytes:
    """Case C through the Python API."""
    from mcu_sdk import compile_module

    inputs = multilayer_perceptron_inputs()
    module = multilayer_perceptron()
    return compile_module(module, inputs[:1], calibration=inputs, border="int8", board="corstone-300").pte


def _block(inputs: int, outputs: int, stride: int, groups: int, size: int = 3) -> list[torch.nn.Module]:
    """A convolution with batch norm and ReLU."""
    from torch import nn

    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def depthwise_separable_cnn() -> torch.nn.Module:
    """MLPerf Tiny's keyword spotter: 49 x 10 features, 12 words; 2.66 M multiplications."""
    from torch import nn

    layers = [nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for _ in range(4):
        layers += _block(64, 64, 1, 64) + _block(64, 64, 1, 1, 1)
    return nn.Sequential(*layers, nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(64, 12))


MOBILE_NET_BLOCKS = (
    (16, 1),
    (32, 2),
    (32, 1),
    (64, 2),
    (64, 1),
    (128, 2),
    *5 * ((128, 1),),
    (256, 2),
    (256, 1),
)
"""Outputs and stride of each depthwise-separable block of MobileNetV1 x 0.25."""


def mobile_net() -> torch.nn.Module:
    """MLPerf Tiny's person detector: 96 x 96 pixels, 2 classes; 7.49 M multiplications."""
    from torch import nn

    layers, channels = _block(3, 8, 2, 1), 8
    for outputs, stride in MOBILE_NET_BLOCKS:
        layers += _block(channels, channels, stride, channels) + _block(channels, outputs, 1, 1, 1)
        channels = outputs
    return nn.Sequential(*layers, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(channels, 2))


def lower_convolutions(make: Callable[[], torch.nn.Module], shape: tuple[int, ...]) -> bytes:
    """ExecuTorch's own lowering, with channels last, calibrated on noise."""
    import torch

    from tests.models.stock.lowering import export, quantized

    torch.manual_seed(0)
    module = make().to(memory_format=torch.channels_last)
    inputs = [(torch.randn(shape).contiguous(memory_format=torch.channels_last),) for _ in range(4)]
    data, _, _ = quantized(export(module, inputs[0]), inputs, inputs[:1])
    return data


MODULES: dict[str, Callable[[], bytes]] = {
    "mlp": lower_multilayer_perceptron,
    "ds-cnn": lambda: lower_convolutions(depthwise_separable_cnn, (1, 1, 49, 10)),
    "mobilenet": lambda: lower_convolutions(mobile_net, (1, 3, 96, 96)),
}


def module_pte(name: str, folder: Path) -> Path:
    """One of MODULES as a .pte, kept under a key of everything that decides it."""
    from mcu_sdk import cache

    key = cache.key_of({"model": name, "source": Path(__file__).read_bytes()})
    path = folder / f"{name}-{key[:16]}.pte"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, MODULES[name]())
    return path
