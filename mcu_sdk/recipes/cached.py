"""A recipe's result, computed once for the same content and options."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from mcu_sdk import cache
from mcu_sdk.npu.artifact import DelegateArtifact
from mcu_sdk.recipes.compiled import ETRECORD, CompiledModel

RECORD = f"model{ETRECORD}"


def cached(facts: Mapping[str, object], compile: Callable[[], CompiledModel]) -> CompiledModel:
    """What an earlier run left in the cache for `facts` (whatever decides the result), or what `compile` gives."""
    key = cache.key_of(facts)
    kept = _kept(key)
    if kept is not None:
        return kept
    compiled = compile()
    delegates = [artifact.name for artifact in compiled.delegates]
    info = {
        "names": compiled.names,
        "facts": compiled.facts,
        "delegates": delegates,
        "etrecord": bool(compiled.etrecord),
    }
    files = {"model.pte": compiled.pte, "info.json": json.dumps(info).encode()}
    for artifact in compiled.delegates:
        files |= artifact.files()
    if compiled.etrecord:
        files[RECORD] = compiled.etrecord
    cache.store(key, files)
    return compiled


def _kept(key: str) -> CompiledModel | None:
    kept = cache.load(key, ("model.pte", "info.json"))
    if kept is None:
        return None
    info = json.loads(kept["info.json"])
    delegates = []
    for name in info["delegates"]:
        files = cache.load(key, DelegateArtifact.file_names(name))
        if files is None:
            return None
        delegates.append(DelegateArtifact.from_files(name, files))
    record = cache.load(key, (RECORD,)) if info["etrecord"] else {RECORD: b""}
    if record is None:
        return None
    return CompiledModel(
        kept["model.pte"], tuple(info["names"]), info["facts"], tuple(delegates), record[RECORD]
    )
