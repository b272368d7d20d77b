"""What model/report.json and the files beside it say of a model."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from mcu_sdk.board.board import Board
from mcu_sdk.generation.source import Source
from mcu_sdk.options import GenerateRequest
from mcu_sdk.planning.language_model import LanguageModel
from mcu_sdk.planning.plan import Plan
from mcu_sdk.planning.pte.read import Pte
from mcu_sdk.planning.weight_layout import layout_notes, layout_of, weight_notes
from mcu_sdk.project.npu_details import NpuDetails, details_files
from mcu_sdk.recipes.compiled import ETRECORD, names_json


def model_facts(request: GenerateRequest, board: Board, pte: Pte, source: Source) -> dict[str, Any]:
    """What the recipe said of the model, what there is to note, and how its weights lie."""
    notes = [*source.facts.get("notes", ()), *pte.notes, *weight_notes(source.facts)]
    if request.pte is not None:
        notes += layout_notes(pte.instructions, helium=board.core.helium)
    return {**source.facts, "notes": notes, "weight_layout": layout_of(pte.instructions)}


def prefill_facts(
    plan: Plan, language_model: LanguageModel | None, source: Source, details: NpuDetails | None
) -> dict[str, Any]:
    """What a chunk of a prompt takes, of an NPU by estimate, and what it was compared on, where that is known."""
    if plan.prefill is None or language_model is None:
        return {}
    known = source.facts.get("prefill")
    arenas = {"arena_bytes": plan.prefill.own_arena_bytes, "step_arena_bytes": plan.own_arena_bytes}
    compared = (
        {name: value for name, value in known.items() if name != "npu"} if isinstance(known, dict) else {}
    )
    if details is not None and details.prefill is not None:
        compared["npu"] = details.prefill.per_token()
    return {"prefill": {**compared, "rows": language_model.prefill_rows, **arenas}}


def encoder_facts(pte: Pte, plan: Plan, source: Source) -> dict[str, Any]:
    """What the encoder of a decoder takes: of the arena, and for what every step attends to."""
    if pte.encoder is None or plan.encoder is None:
        return {}
    known = source.facts.get("encoder")
    caches = sum(buffer.tensor.nbytes for buffer in pte.encoder.mutable_buffers)
    told = {
        "arena_bytes": plan.encoder.own_arena_bytes,
        "step_arena_bytes": plan.own_arena_bytes,
        "cross_cache_bytes": caches,
    }
    return {"encoder": {**(known if isinstance(known, dict) else {}), **told}}


def model_files(source: Source, facts: dict[str, Any], details: NpuDetails | None) -> dict[str, bytes]:
    """The files of model/ beside the .pte, by name."""
    files = report_file(facts)
    for number, delegate in enumerate(source.delegates):
        files |= replace(delegate, name=f"delegate_{number}").files()
    if details is not None:
        files |= details_files(details)
    if source.names is not None:
        files["names.json"] = names_json(source.pte, source.names, source.facts).encode()
    if source.etrecord:
        files[f"model{ETRECORD}"] = source.etrecord
    return files


def report_file(facts: dict[str, Any]) -> dict[str, bytes]:
    """model/report.json."""
    return {"report.json": (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode()}
