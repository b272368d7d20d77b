"""The models of the cases, with seeded random weights."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cases import Llama

if TYPE_CHECKING:
    import torch

INITIALIZER_RANGE = 0.2
"""The standard deviation of the weights: with transformers' 0.02 the logits would hardly differ from one another."""


def llama_checkpoint(llama: Llama, positions: int, folder: Path, seed: int = 0) -> Path:
    """The folder of a saved checkpoint, below `folder`; made on first use."""
    facts = repr((sorted(asdict(llama).items()), positions, seed, INITIALIZER_RANGE))
    destination = folder / f"llama-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
    if destination.exists():
        return destination
    import torch
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
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config).eval()
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


def multilayer_perceptron_pte(folder: Path) -> Path:
    """Case C as a .pte, through the Python API; kept under a key of everything that decides it."""
    from mcu_sdk import cache

    key = cache.key_of({"model": "multilayer_perceptron", "source": Path(__file__).read_bytes()})
    path = folder / f"mlp-{key[:16]}.pte"
    if not path.exists():
        from mcu_sdk import compile_module

        inputs = multilayer_perceptron_inputs()
        folder.mkdir(parents=True, exist_ok=True)
        compile_module(
            multilayer_perceptron(),
            inputs[:1],
            calibration=inputs,
            border="int8",
            board="corstone-300",
            output=path,
        )
    return path
