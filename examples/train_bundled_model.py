"""Train the language model that travels in the package.

    python examples/train_bundled_model.py TEXT [--out FOLDER] [--steps N] [--threads N]

TEXT is a UTF-8 file (the bundled weights come from the "tinyshakespeare" corpus). Its first 90 % train a
byte-level BPE tokenizer and a Llama-architecture decoder with grouped-query attention; its last 10 % are held
out and only measured. The folder that comes out is an ordinary transformers checkpoint (fp16 safetensors).

Everything is seeded. The same text, versions and thread count give the same losses up to the order in which
the BLAS adds; a run takes about 45 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

START_OF_TEXT = "<|endoftext|>"


def split(text: str) -> tuple[str, str]:
    """The first 90 % of the characters train, the last 10 % are held out."""
    cut = int(len(text) * 0.9)
    return text[:cut], text[cut:]


def train_tokenizer(text: str, vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `vocab_size` entries: one special token, 256 bytes, the rest merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [text],
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[START_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=START_OF_TEXT, eos_token=START_OF_TEXT
    )


def bits_per_byte(model: LlamaForCausalLM, ids: torch.Tensor, byte_count: int, context: int) -> float:
    """Mean loss in nats per predicted token / ln 2 x tokens / UTF-8 bytes, over non-overlapping windows."""
    model.eval()
    total, predicted = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, context):
            window = ids[start : start + context]
            if len(window) < 2:
                continue
            logits = model(input_ids=window[None]).logits[0, :-1].double()
            total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
            predicted += len(window) - 1
    model.train()
    return total / predicted / math.log(2) * len(ids) / byte_count


def add_dropout(model: LlamaForCausalLM, probability: float) -> list[torch.utils.hooks.RemovableHandle]:
    """Dropout on the embedding and on both residual branches of each layer, by hooks: the architecture stays Llama."""

    def drop(_module, _inputs, output):
        return torch.nn.functional.dropout(output, probability, model.training)

    places = [model.model.embed_tokens]
    for layer in model.model.layers:
        places += [layer.self_attn.o_proj, layer.mlp.down_proj]
    return [place.register_forward_hook(drop) for place in places]


def batch_of(
    ids: torch.Tensor,
    starts_of_speech: torch.Tensor,
    start_id: int,
    rows: int,
    context: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """`rows` windows of `context` tokens; the first begins with the start token and a new speech, so that an
    empty prompt means something to the model."""
    offsets = torch.randint(0, len(ids) - context, (rows,), generator=generator)
    batch = torch.stack([ids[o : o + context] for o in offsets.tolist()])
    speech = starts_of_speech[torch.randint(0, len(starts_of_speech), (1,), generator=generator)].item()
    batch[0, 0] = start_id
    batch[0, 1:] = ids[speech : speech + context - 1]
    return batch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--out", type=Path, default=Path("mcu_sdk/model/bundled"))
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--rows", type=int, default=8, help="windows per step")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=512)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    training_text, held_out_text = split(options.text.read_text(encoding="utf-8"))
    tokenizer = train_tokenizer(training_text, options.vocab)
    start_id = tokenizer.convert_tokens_to_ids(START_OF_TEXT)
    ids = torch.tensor(tokenizer(training_text)["input_ids"])
    held_out = torch.tensor(tokenizer(held_out_text)["input_ids"])
    held_out_bytes = len(held_out_text.encode("utf-8"))
    newline = tokenizer("\n\n")["input_ids"]
    ends = (ids[:-1] == newline[0]).nonzero().flatten()
    starts_of_speech = ends + 1
    starts_of_speech = starts_of_speech[starts_of_speech < len(ids) - options.context]

    config = LlamaConfig(
        vocab_size=options.vocab,
        hidden_size=options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=options.hidden // 32,
        num_key_value_heads=options.hidden // 64,
        intermediate_size=3 * options.hidden,
        max_position_embeddings=options.context,
        tie_word_embeddings=True,
        bos_token_id=start_id,
        eos_token_id=start_id,
        rms_norm_eps=1e-5,
        initializer_range=0.05,
    )
    model = LlamaForCausalLM(config)
    hooks = add_dropout(model, options.dropout)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.2}, {"params": others, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(0.9, 0.98),
    )
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(ids):,} training tokens, "
        f"{len(held_out):,} held-out tokens for {held_out_bytes:,} bytes",
        flush=True,
    )
    generator = torch.Generator().manual_seed(options.seed)
    warm_up, began, running = 100, time.time(), None
    for step in range(options.steps):
        rate = options.learning_rate * min(1.0, (step + 1) / warm_up)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / options.steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch_of(ids, starts_of_speech, start_id, options.rows, options.context, generator)
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % 50 == 0:
            line = f"step {step + 1:5d}  loss {running:.4f}  {time.time() - began:6.0f} s"
            if (step + 1) % 300 == 0 or step + 1 == options.steps:
                line += f"  held-out {bits_per_byte(model, held_out, held_out_bytes, options.context):.4f} bits per byte"
            print(line, flush=True)

    for hook in hooks:
        hook.remove()
    model = model.half()
    measured = bits_per_byte(model.float(), held_out, held_out_bytes, options.context)
    options.out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(options.out, safe_serialization=True)
    tokenizer.save_pretrained(options.out)
    (options.out / "training.json").write_text(
        json.dumps(
            {
                "bits_per_byte_held_out": round(measured, 4),
                "parameters": sum(p.numel() for p in model.parameters()),
                "steps": options.steps,
                "windows_per_step": options.rows,
                "context": options.context,
                "seconds": round(time.time() - began),
                "threads": options.threads,
                "seed": options.seed,
                "dropout": options.dropout,
                "learning_rate": options.learning_rate,
            },
            indent=2,
        )
        + "\n"
    )
    print(f"held-out {measured:.4f} bits per byte with fp16 weights -> {options.out}", flush=True)


if __name__ == "__main__":
    main()
