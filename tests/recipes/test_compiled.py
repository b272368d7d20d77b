"""What lies beside a .pte comes from outside: it is used as it was written, or not at all."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.recipes.compiled import CompiledModel, read_compiled, write_compiled

FACTS: dict[str, Any] = {
    "npu_delegates": 0,
    "cpu_operators": [{"operator": "aten.add", "reason": "float"}],
    "kept_int8": ["lm_head"],
    "int4_linears": 3,
    "notes": ["a note"],
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    compiled = CompiledModel(b"a program", ("first", "second"), FACTS)
    write_compiled(compiled, tmp_path / "a.pte")
    found = read_compiled(tmp_path / "a.pte")
    assert (found.pte, found.names, found.facts) == (compiled.pte, compiled.names, FACTS)


@pytest.mark.parametrize(
    "changed",
    [
        {"npu_delegates": "1"},
        {"cpu_operators": 3},
        {"cpu_operators": ["aten.add"]},
        {"kept_int8": 0.5},
        {"kept_int8": [None]},
        {"int4_linears": None},
        {"notes": "text"},
        {"notes": [3]},
    ],
)
def test_facts_of_other_types_are_none(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = tmp_path / "a.pte"
    path.write_bytes(b"a program")
    content = {"instructions": ["first"], "pte_sha256": sha256(b"a program").hexdigest()}
    for facts in ({**FACTS, **changed}, changed and [FACTS], 3, None):
        path.with_suffix(".names.json").write_text(json.dumps({**content, "facts": facts}))
        found = read_compiled(path)
        assert found.facts == {} and found.names == ("first",)


def test_facts_of_another_program_are_none(tmp_path: Path) -> None:
    write_compiled(CompiledModel(b"a program", ("first",), FACTS), tmp_path / "a.pte")
    (tmp_path / "a.pte").write_bytes(b"another")
    assert read_compiled(tmp_path / "a.pte").facts == {}
