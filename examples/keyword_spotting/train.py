"""Train the model on what make_data.py made: python examples/keyword_spotting/train.py --data FOLDER --out CHECKPOINT

An Audio Spectrogram Transformer (transformers' class) of 58,000 parameters. Writes the checkpoint that `mcu-sdk generate
--model` takes, with the feature extractor's preprocessor_config.json.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from make_data import spectrograms
from speech import LABELS, RATE, WINDOW
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

FRAMES, BINS = 98, 40


def make_model() -> ASTForAudioClassification:
    """Patches of 16 x 16, each 12 bins and 8 frames: 33 of them, and two tokens of the architecture's own."""
    return ASTForAudioClassification(
        ASTConfig(
            hidden_size=48,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=48,
            patch_size=16,
            frequency_stride=12,
            time_stride=8,
            max_length=FRAMES,
            num_mel_bins=BINS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            id2label=dict(enumerate(LABELS)),
            label2id={label: number for number, label in enumerate(LABELS)},
        )
    )


def other_voices(batch: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Spectrograms [n, FRAMES, BINS] with their bins stretched by up to a tenth and moved by up to one and a half, as by a
    throat of another length."""
    count = len(batch)
    stretch = 0.9 + 0.2 * torch.rand(count, 1, generator=random)
    shift = 3 * torch.rand(count, 1, generator=random) - 1.5
    places = (torch.arange(BINS) * stretch + shift).clamp(0, BINS - 1)
    low = places.floor().clamp(max=BINS - 2)
    part = (places - low)[:, None]
    index = low.long()[:, None].expand(-1, FRAMES, -1)
    return batch.gather(2, index) * (1 - part) + batch.gather(2, index + 1) * part


def masked(batch: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Some bands and moments of the normalized spectrograms [n, FRAMES, BINS] at their mean, and all a little louder or
    softer."""
    count = len(batch)
    for axis, size, widest in ((1, FRAMES, 12), (2, BINS, 6)):
        begin = torch.randint(0, size, (count, 1), generator=random)
        width = torch.randint(0, widest + 1, (count, 1), generator=random)
        places = torch.arange(size)[None]
        hidden = (places >= begin) & (places < begin + width)
        batch = batch.masked_fill(hidden[:, :, None] if axis == 1 else hidden[:, None], 0.0)
    return batch + 0.1 * torch.randn(count, 1, 1, generator=random)


@torch.no_grad()
def accuracy(model: torch.nn.Module, features: torch.Tensor, labels: torch.Tensor) -> float:
    model.eval()
    found = torch.cat([model(part).logits.argmax(1) for part in features.split(256)])
    return float((found == labels).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(arguments.seed)

    made = np.load(arguments.data / "train.npz")
    mean, std = (
        float(made["features"].astype(np.float32).mean()),
        float(made["features"].astype(np.float32).std()),
    )

    def normalized(features: np.ndarray) -> torch.Tensor:
        return (torch.from_numpy(features).float() - mean) / (2 * std)

    features, labels = normalized(made["features"]), torch.from_numpy(made["labels"])
    held = np.load(arguments.data / "validation.npz")
    validation = normalized(spectrograms(held["samples"])), torch.from_numpy(held["labels"])

    model = make_model()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(labels):,} sounds", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    batch = 128
    steps = len(labels) // batch * arguments.epochs
    warm = steps // 20
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda n: min((n + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, n - warm) / (steps - warm)))),
    )
    for epoch in range(arguments.epochs):
        model.train()
        total, order = 0.0, torch.randperm(len(labels), generator=random)
        for place in range(0, len(order) // batch * batch, batch):
            chosen = order[place : place + batch]
            logits = model(masked(other_voices(features[chosen], random), random)).logits
            loss = torch.nn.functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        right = accuracy(model, *validation)
        print(
            f"epoch {epoch + 1}: loss {total / (len(order) // batch):.4f}, validation {right:.4f}", flush=True
        )

    model.eval().save_pretrained(arguments.out)
    ASTFeatureExtractor(
        max_length=FRAMES, num_mel_bins=BINS, sampling_rate=RATE, mean=mean, std=std
    ).save_pretrained(arguments.out)
    assert 400 + 160 * (FRAMES - 1) == WINDOW


if __name__ == "__main__":
    main()
