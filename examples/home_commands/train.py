"""Train the model of this example, and its tokenizer, on sentences that grammar.py makes.

    python examples/home_commands/train.py [--out FOLDER] [--steps N]

The folder that comes out is an ordinary transformers checkpoint, a BertForTokenClassification: the label of [CLS] is the
intent ("text:turn_on"), that of each other token its part in a slot ("B-room", "I-room", "O"). Seeded, on one thread: the
same versions give the same weights, but for the order in which another processor's BLAS adds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from grammar import SPLIT_SEED, Grammar, Sentence
from tokenizer import PADDING, SPECIALS, make_tokenizer
from tokenizers import Encoding, Tokenizer
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

IGNORED = -100
"""Of a token that has no right label, as transformers' losses have it."""

LENGTH = 32
"""Tokens that the model reads, [CLS] and [SEP] included."""


def targets(sentence: Sentence, encoded: Encoding, numbers: dict[str, int]) -> list[int]:
    """The label of each token: of [CLS] the intent, of a word's first piece its part in a slot. The word's other pieces are
    not asked."""
    found = [numbers[f"text:{sentence.intent}"]]
    before = None
    for word, (begin, _) in zip(encoded.word_ids[1:], encoded.offsets[1:], strict=True):
        if word is None or word == before:
            found.append(IGNORED)
            continue
        before = word
        slot = next((slot for slot in sentence.slots if slot.begin <= begin < slot.end), None)
        part = "O" if slot is None else f"{'B' if slot.begin == begin else 'I'}-{slot.name}"
        found.append(numbers[part])
    return found


def batch_of(
    sentences: Sequence[Sentence], tokenizer: Tokenizer, numbers: dict[str, int]
) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and labels, int64[sentences, tokens of the longest] each."""
    encoded = tokenizer.encode_batch([sentence.text for sentence in sentences])
    length = min(max(len(each.ids) for each in encoded), LENGTH)
    shape = (len(sentences), length)
    ids, mask = torch.full(shape, PADDING), torch.zeros(shape, dtype=torch.int64)
    labels = torch.full(shape, IGNORED)
    for row, (sentence, each) in enumerate(zip(sentences, encoded, strict=True)):
        count = min(len(each.ids), length)
        ids[row, :count] = torch.tensor(each.ids[:count])
        mask[row, :count] = 1
        labels[row, :count] = torch.tensor(targets(sentence, each, numbers)[:count])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def batches_of(
    sentences: Sequence[Sentence], rows: int, tokenizer: Tokenizer, numbers: dict[str, int]
) -> list[dict[str, torch.Tensor]]:
    return [
        batch_of(sentences[first : first + rows], tokenizer, numbers)
        for first in range(0, len(sentences), rows)
    ]


def training_batches(
    grammar: Grammar, tokenizer: Tokenizer, numbers: dict[str, int], rows: int, seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Without end, each of sentences of about one length: there is little padding to compute."""
    rng = random.Random(seed)
    for part in itertools.count():
        sentences = list(grammar.sentences(32 * rows, seed + 1000 * part))
        sentences.sort(key=lambda each: (len(each.text.split()), rng.random()))
        batches = batches_of(sentences, rows, tokenizer, numbers)
        rng.shuffle(batches)
        yield from batches


def make_model(
    labels: Sequence[str], vocabulary: int, options: argparse.Namespace
) -> BertForTokenClassification:
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=options.hidden // 32,
        intermediate_size=options.inner,
        max_position_embeddings=LENGTH,
        type_vocab_size=1,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        pad_token_id=PADDING,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    return BertForTokenClassification(config)


def exact(model: BertForTokenClassification, batches: Sequence[dict[str, torch.Tensor]]) -> float:
    """The share of sentences of which the intent and every word have the right label."""
    model.eval()
    right = total = 0
    with torch.no_grad():
        for batch in batches:
            labels = batch["labels"]
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            right += int(((logits.argmax(-1) == labels) | (labels == IGNORED)).all(-1).sum())
            total += len(labels)
    model.train()
    return right / total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("model"))
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=64, help="sentences per step")
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--inner", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", type=int, default=SPLIT_SEED, help="decides what is held out")
    options = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    grammar = Grammar(split=options.split)
    tokenizer = make_tokenizer(grammar)
    labels = grammar.labels
    numbers = {label: number for number, label in enumerate(labels)}
    tests = [
        batches_of(
            list(grammar.sentences(1_000, options.seed + 1, held_out=True, all_values=all_values)),
            100,
            tokenizer,
            numbers,
        )
        for all_values in (False, True)
    ]
    model = make_model(labels, tokenizer.get_vocab_size(), options)
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.98))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{parameters:,} parameters, {len(labels)} labels, {tokenizer.get_vocab_size()} pieces", flush=True)

    batches = training_batches(grammar, tokenizer, numbers, options.rows, options.seed)
    began, running = time.process_time(), 0.0
    for step in range(options.steps):
        rate = min(1.0, (step + 1) / 200) * (
            0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / options.steps))
        )
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * rate
        loss = model(**next(batches)).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % 500 == 0:
            seconds = time.process_time() - began
            print(f"step {step + 1:5d}  loss {running:.4f}  {seconds:4.0f} s", flush=True)

    model = model.half().float()
    some, all_ = (exact(model, batches) for batches in tests)
    model.half().save_pretrained(options.out)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIALS, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(options.out)
    facts = {name: getattr(options, name) for name in ("split", "steps", "rows", "learning_rate", "seed")}
    facts |= {"parameters": parameters, "processor_seconds": round(time.process_time() - began)}
    facts |= {"exact_match": some, "exact_match_all_values_held_out": all_}
    (options.out / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"held out {100 * some:.1f} %, with all values held out {100 * all_:.1f} % -> {options.out}")


if __name__ == "__main__":
    main()
