"""What becomes of every decoder and encoder-decoder that transformers knows, the whole way to this computer's firmware;
to docs/support.md.

.venv/bin/python tools/census.py [--found FILE] [--jobs N] [name ...]        (or: make census)

Each name gets a tiny configuration (census_configs.py), random weights and a folder, goes through `generate` and `build`
for the host, and reads random tokens up to its cache's end. A worker is forked for each, when everything is imported.
`--found` keeps each row as soon as it is there (build/census.json without it) and takes those that it has; names that are
given are done again, and without the file the others are those of the page. Delete the file to do all again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from mcu_sdk.project.host_library import HostModel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tools"))

from census_configs import VARIANTS, tiny_config  # noqa: E402
from census_page import page, rows_of  # noqa: E402

PAGE = ROOT / "docs" / "support.md"
CACHE_LENGTH = 32
"""Positions; every window of the tiny configurations is shorter."""

SECONDS = 180
"""Of the clock, after which a worker is ended."""

LARGEST_ERROR = 0.1
"""Relative RMS error of logits, int8 against float, up to which a row counts as right: where `generate` warns."""

DEFAULT_FOUND = ROOT / "build" / "census.json"


def names() -> dict[str, str]:
    """Every name and the class of transformers that it stands for; variants behind them."""
    from transformers.models.auto import modeling_auto as auto

    decoders = dict(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    both = {
        **auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        **auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    }
    found = {name: _first(value) for name, value in decoders.items()}
    found |= {name: decoders[family] for name, (family, _) in VARIANTS.items()}
    found |= {f"{name} (seq2seq)": _first(value) for name, value in both.items()}
    return found


def _first(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[0]


def row_of(name: str, class_name: str, folder: Path) -> dict[str, Any]:
    """One name, the whole way. What stops it is in the row."""
    from mcu_sdk.errors import McuSdkError

    row: dict[str, Any] = {"class": class_name}
    try:
        checkpoint = _save(name, class_name, folder / "model")
    except Exception as error:  # transformers' own classes raise all kinds for a configuration
        return {**row, "outcome": "no model", "why": _first_line(error)}
    try:
        return {**row, **_measured(checkpoint, folder / "project")}
    except McuSdkError as error:
        unforeseen = error.__cause__ is not None and not isinstance(error.__cause__, McuSdkError)
        outcome = "failed" if unforeseen and _is_catch_all(error) else "refused"
        return {**row, "outcome": outcome, "why": error.message}
    except Exception as error:
        return {**row, "outcome": "failed", "why": _first_line(error)}


def _is_catch_all(error: Exception) -> bool:
    """Whether the message is the one that stands for exceptions that nobody foresaw."""
    words = ("not expected in a model", "does not: ", "is none: ", "example inputs; it raises ")
    return any(each in str(error) for each in words)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def _save(name: str, class_name: str, folder: Path) -> Path:
    """The tiny model with seeded random weights, as a checkpoint's folder."""
    import torch
    import transformers

    architecture = getattr(transformers, class_name)
    config = part_for(architecture, tiny_config(name.removesuffix(" (seq2seq)")))
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    model = architecture(config).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # norms and biases that are not all alike
            parameter.data += 0.1 * torch.randn_like(parameter)
        else:
            parameter.data = 0.1 * torch.randn_like(parameter)
    _make_queries_small(model)
    if not name.endswith(" (seq2seq)"):  # what sizes do not go together for
        model(input_ids=torch.tensor([[3, 4, 5]]))
    model.save_pretrained(folder)
    return folder


def part_for(architecture: Any, config: Any) -> Any:
    """Of a configuration of several models the part that is the class's own, as AutoModelForCausalLM takes it."""
    wanted = architecture.config_class
    parts = [getattr(config, name, None) for name in getattr(type(config), "sub_configs", None) or ()]
    own = [part for part in (config, *parts) if wanted is not None and isinstance(part, wanted)]
    return own[0] if own else config


def _make_queries_small(model: torch.nn.Module) -> None:
    """Of attention that does not divide its scores (T5's), divide the weights of the queries, as its initialization does.

    Scores of random weights would else be so far apart that each softmax chooses one position, and int8 another one.
    """
    for module in model.modules():
        if getattr(module, "scaling", None) == 1.0 and hasattr(module, "key_value_proj_dim"):
            module.q.weight.data *= module.key_value_proj_dim**-0.5


def tokens_of(vocabulary: int) -> Any:
    """int64[1, CACHE_LENGTH]: what every model of so many tokens reads."""
    import torch

    return torch.randint(3, vocabulary, (1, CACHE_LENGTH), generator=torch.Generator().manual_seed(5))


def _measured(checkpoint: Path, destination: Path) -> dict[str, Any]:
    """Generate, build, run. Raises what these raise."""
    import torch

    from mcu_sdk.generation import generate
    from mcu_sdk.lowering.accuracy import measure
    from mcu_sdk.lowering.guard import checkpoint_logits
    from mcu_sdk.model.load import find_checkpoint, load_model
    from mcu_sdk.options import CompileOptions, GenerateRequest
    from mcu_sdk.project.build import build
    from mcu_sdk.project.host_library import HostModel

    request = GenerateRequest(
        "host", CompileOptions(CACHE_LENGTH), model=str(checkpoint), output=destination, use_cache=False
    )
    made = generate(request)
    library = build(made.project, "host").library
    assert library is not None
    firmware = HostModel(library)
    tokens = tokens_of(firmware.vocab_size)
    if firmware.encoder_length or firmware.encoder_inputs:
        found, wanted = _of_pair(firmware, checkpoint, made.project, tokens)
    else:
        wanted = checkpoint_logits(load_model(find_checkpoint(str(checkpoint))), tokens)[0]
        found = torch.from_numpy(firmware.tokens(tokens[0].tolist()).copy())
    error = measure(found, wanted, logits=True).relative_rms_error
    calls = Counter(planned.instruction.operator for planned in made.plan.calls)
    return {
        "outcome": "right" if error <= LARGEST_ERROR else "inexact",
        "error": error,
        "calls": sum(calls.values()),
        "ours": sum(count for name, count in calls.items() if name.startswith("mcu::")),
        "left": made.facts["left_in_float"],
        "operators": dict(calls),
        "guard": made.facts["guard"],
    }


def _of_pair(
    firmware: HostModel, checkpoint: Path, project: Path, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The firmware's logits and the checkpoint's for tokens of a decoder whose encoder has read some of its own, or heard
    noise."""
    import numpy as np
    import torch

    from mcu_sdk.model.load import find_checkpoint
    from mcu_sdk.planning.pte.read import read_pte
    from mcu_sdk.project.verify_python import encoder_read
    from mcu_sdk.recipes.reference import CheckpointReference

    pte = read_pte((project / "model" / "model.pte").read_bytes())
    read = tokens[0].tolist()
    firmware.reset()
    if firmware.encoder_length:
        firmware.encode_source(tokens[0, ::2].tolist())
        source = [array[None] for array in encoder_read(tokens[0, ::2].tolist(), pte)[0]]
    else:
        assert pte.encoder is not None
        random = np.random.default_rng(5)
        source = [random.standard_normal(tensor.shape, np.float32) for tensor in pte.encoder.inputs]
        firmware.encode_tensors([array.ravel() for array in source])
    found = torch.stack([torch.from_numpy(firmware.step(token).copy()) for token in read])
    reference = CheckpointReference(str(checkpoint), find_checkpoint(str(checkpoint)).fingerprint())
    wanted = reference.pair_logits(source, read)
    assert wanted is not None
    return found, torch.from_numpy(wanted)


def _worker(name: str, class_name: str, sender: Connection) -> None:
    """In a process of its own: the row, with the seconds of processor time that it took."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    with tempfile.TemporaryDirectory() as folder:
        row = row_of(name, class_name, Path(folder))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    sender.send({**row, "seconds": round(sum(each.ru_utime + each.ru_stime for each in used), 1)})


def _warm_up() -> None:
    """Import once, in the process that workers are forked from, what each of them wants."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        row = row_of("llama", "LlamaForCausalLM", Path(folder))
    assert row["outcome"] == "right", row


def census(wanted: dict[str, str], found: dict[str, Any], jobs: int, keep: Path) -> None:
    """Fill `found` with a row for each of the names, and write it to `keep` after each."""
    import gc

    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("fork")
    pending, running = list(wanted.items()), {}
    while pending or running:
        while pending and len(running) < jobs:
            name, class_name = pending.pop(0)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_worker, args=(name, class_name, sender))
            process.start()
            sender.close()
            running[receiver] = (name, process, time.monotonic() + SECONDS)
        ready = wait(list(running), timeout=1)
        for receiver, (name, process, until) in list(running.items()):
            late = time.monotonic() > until
            if receiver not in ready and not late:
                continue
            row = _received(receiver, wanted[name], late and receiver not in ready)
            process.kill()
            process.join()
            del running[receiver]
            if "choices" in found.get(name, {}) and row["outcome"] in ("right", "inexact"):
                row["choices"] = found[name]["choices"]
            found[name] = row
            print(name, row["outcome"], row.get("why", ""), file=sys.stderr, flush=True)
            keep.parent.mkdir(parents=True, exist_ok=True)
            keep.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def _received(receiver: Connection, class_name: str, late: bool) -> dict[str, Any]:
    """A worker's row, or one that says why there is none."""
    if late:
        return {"class": class_name, "outcome": "failed", "why": f"no answer within {SECONDS} s"}
    try:
        row: dict[str, Any] = receiver.recv()
    except EOFError:
        return {"class": class_name, "outcome": "failed", "why": "the process died"}
    return row


def main() -> int:
    """Do what is not done yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="do these again")
    parser.add_argument("--found", type=Path, default=DEFAULT_FOUND, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page-only", action="store_true", help="write the page from what was found")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    if arguments.found.exists():
        found = json.loads(arguments.found.read_text())
    elif arguments.names or arguments.page_only:  # the others stay as the page has them
        found = dict(rows_of(PAGE.read_text()))
    known = names()
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"transformers knows no {', '.join(unknown)}")
    wanted = {
        name: class_name
        for name, class_name in known.items()
        if name in arguments.names or (not arguments.names and name not in found)
    }
    if wanted and not arguments.page_only:
        _warm_up()
        census(wanted, found, arguments.jobs, arguments.found)
    PAGE.write_text(page({name: found[name] for name in known if name in found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
