"""What a recipe makes: a .pte and what is known of it; in memory, and as files beside each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcu_sdk.errors import PteError
from mcu_sdk.json_file import object_or_nothing
from mcu_sdk.npu.artifact import DelegateArtifact

ETRECORD = ".etrecord"
"""The end of an ETRecord's name, which is otherwise that of its .pte."""


@dataclass(frozen=True)
class CompiledModel:
    """A .pte, the module path of each of its instructions, and what the report wants to know. `etrecord`: the ETRecord of its
    method "forward"; empty where none was asked for."""

    pte: bytes
    names: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    delegates: tuple[DelegateArtifact, ...] = ()
    etrecord: bytes = b""


def write_compiled(compiled: CompiledModel, path: Path) -> None:
    """Write the .pte, and beside it, where `generate --pte` looks: its operations' names and what is known of it.

    NAME.names.json belongs to the .pte with the SHA-256 in it; NAME.delegate_<n>.tosa is a delegate's TOSA graph,
    and .json Vela's estimates for it.
    """
    path.write_bytes(compiled.pte)
    text = names_json(compiled.pte, compiled.names, compiled.facts)
    path.with_suffix(".names.json").write_text(text, encoding="utf-8")
    if compiled.etrecord:
        path.with_suffix(ETRECORD).write_bytes(compiled.etrecord)
    for number, delegate in enumerate(compiled.delegates):
        for name, data in replace(delegate, name=f"{path.stem}.delegate_{number}").files().items():
            path.with_name(name).write_bytes(data)


def names_json(pte: bytes, names: Sequence[str], facts: Mapping[str, Any]) -> str:
    """What lies beside a .pte: the module of each of its operations, and the recipe's facts."""
    content = {"instructions": names, "pte_sha256": hashlib.sha256(pte).hexdigest(), "facts": facts}
    return json.dumps(content, indent=1) + "\n"


@dataclass(frozen=True)
class FoundModel:
    """A .pte from a file. `names`, `facts` and `delegates`: what lies beside it; None and nothing for a stranger's."""

    pte: bytes
    names: tuple[str, ...] | None
    facts: dict[str, Any]
    delegates: tuple[DelegateArtifact, ...] = ()


def read_compiled(path: Path) -> FoundModel:
    """Read a .pte and what `write_compiled` or a project left beside it. Raises PteError if it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PteError(
            f"--pte takes a file that ExecuTorch wrote; {path} could not be read: {error.strerror or error}.",
            hint="Check the path.",
        ) from error
    beside = _read_beside(path)
    facts: dict[str, Any] = {}
    delegates: tuple[DelegateArtifact, ...] = ()
    if beside.get("pte_sha256") == hashlib.sha256(data).hexdigest():
        facts = _facts_of(beside)
        delegates = _delegates_beside(path, facts)
    return FoundModel(data, _names_of(beside), facts, delegates)


def _read_beside(path: Path) -> dict[str, Any]:
    """The file of ours beside a .pte that says what is in it (module.write_compiled), or a project's names.json."""
    own = path.with_suffix(".names.json")
    return object_or_nothing(own if own.is_file() else path.parent / "names.json")


def _facts_of(beside: dict[str, Any]) -> dict[str, Any]:
    """What `write_compiled` knew of the .pte; nothing where one of the facts that are used is not as it writes them."""
    facts = beside.get("facts")
    if not isinstance(facts, dict):
        return {}
    counts = all(type(facts.get(key, 0)) is int for key in ("npu_delegates", "int4_linears"))
    lists = all(isinstance(facts.get(key, []), list) for key in ("notes", "kept_int8", "cpu_operators"))
    if not counts or not lists or ("kept_int8" in facts and "int4_linears" not in facts):
        return {}
    entries = [entry for key in ("notes", "kept_int8") for entry in facts.get(key, [])]
    left = facts.get("cpu_operators", [])
    are_texts = all(isinstance(entry, str) for entry in entries)
    costs = facts.get("npu_costs", {})
    are_numbers = isinstance(costs, dict) and all(isinstance(value, (int, float)) for value in costs.values())
    return facts if are_texts and are_numbers and all(_is_reason(entry) for entry in left) else {}


def _is_reason(entry: Any) -> bool:
    """An operator that stays on the processor, and why."""
    return isinstance(entry, dict) and all(isinstance(text, str) for text in entry.values())


def _names_of(beside: dict[str, Any]) -> tuple[str, ...] | None:
    """The module paths of the .pte's instructions."""
    names = beside.get("instructions")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _delegates_beside(path: Path, facts: dict[str, Any]) -> tuple[DelegateArtifact, ...]:
    """The delegates' graphs and estimates; nothing unless all are there. In a project they do not have the .pte's name."""
    prefix = f"{path.stem}." if path.with_suffix(".names.json").is_file() else ""
    count = facts.get("npu_delegates")
    found = []
    for number in range(count if isinstance(count, int) else 0):
        name = f"{prefix}delegate_{number}"
        try:
            files = {file: path.with_name(file).read_bytes() for file in DelegateArtifact.file_names(name)}
            found.append(DelegateArtifact.from_files(name, files))
        except (OSError, ValueError, KeyError, TypeError):
            return ()
    return tuple(found)
