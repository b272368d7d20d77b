"""JSON from a Transformer that knows nothing: random weights, from the checkpoint to the device."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.project.build import build
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request, Transcript
from tests.checkpoints import byte_tokenizer, make_checkpoint

SCHEMA = {
    "type": "object",
    "properties": {
        "room": {"enum": ["kitchen", "hall"]},
        "on": {"type": "boolean"},
        "note": {"type": ["string", "null"], "maxLength": 10},
        "levels": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
    },
    "required": ["room", "on", "levels"],
}
LENGTH = 96


def request(seed: int, tokens: int) -> Request:
    penalty = 1.0 + seed % 2 / 2
    return Request(ids=(1 + seed % 256, 7), tokens=tokens, temperature=1 + seed % 3, top_p=0.95, seed=seed, repetition_penalty=penalty)  # fmt: skip


@pytest.mark.slow
def test_a_thousand_answers_of_a_random_transformer(tmp_path: Path) -> None:
    model = make_checkpoint("llama-odd", tmp_path / "c")
    byte_tokenizer(model / "tokenizer.json", 257, "")
    (tmp_path / "schema").write_text(json.dumps(SCHEMA))
    options = CompileOptions(LENGTH)
    made = generate(
        GenerateRequest(
            "corstone-300", options, model=str(model), json_schema=tmp_path / "schema", output=tmp_path / "p"
        )
    )
    shortest = made.facts["grammar"]["shortest"]
    lines = [request(seed, (shortest, shortest + 3, 90)[seed % 3]).encode() for seed in range(1000)]
    program = build(made.project, "host").program
    output = subprocess.run([program], input=b"".join(lines) + b"\x04", stdout=subprocess.PIPE, check=True)
    answers = output.stdout.split(b"@mcu ready=1\n", 1)[1].split(b"\x04")[:-1]
    check: Any = importlib.import_module("jsonschema").Draft202012Validator(SCHEMA)
    valid = [check.is_valid(json.loads(a.split(b"\n@mcu prompt_tokens=")[0])) for a in answers]
    assert len(valid) == 1000 and all(valid)

    elf = build(made.project).program
    for seed in range(4):
        asked = request(seed, 60)
        on_host: Transcript = host.run(program, asked)
        device = qemu.run(load_board("corstone-300"), elf, asked)
        assert (device.ids, device.text, device.digest) == (on_host.ids, on_host.text, on_host.digest)
        check.validate(json.loads(device.text))
