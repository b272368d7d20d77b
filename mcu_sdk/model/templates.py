"""What a tokenizer.json's post-processor puts around one text, or two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcu_sdk.model.tokenizer_parts import TEMPLATE_A, TEMPLATE_B, TemplateItem

Items = tuple[TemplateItem, ...]

PLAIN: tuple[Items, Items] = (((TEMPLATE_A, 0),), ((TEMPLATE_A, 0), (TEMPLATE_B, 1)))
"""Of a tokenizer without a post-processor."""


class UnsupportedTemplate(Exception):
    """Why a post-processor cannot run on the device."""


def specials_around(post_processor: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids before and after a single text."""
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    for part in _members(post_processor):
        items = [identity for identity, _ in _items(part)[0]]
        if items.count(TEMPLATE_A) != 1 or TEMPLATE_B in items:
            raise UnsupportedTemplate(f"its post-processor repeats the text {items.count(TEMPLATE_A)} times")
        at = items.index(TEMPLATE_A)
        prefix, suffix = (*items[:at], *prefix), (*suffix, *items[at + 1 :])
    return prefix, suffix


def template_items(post_processor: Any) -> tuple[Items, Items]:
    """(id or TEMPLATE_A or TEMPLATE_B, token type) in order: for one text, and for two."""
    parts = _members(post_processor)
    if len(parts) > 1:
        raise UnsupportedTemplate("its post-processor puts special tokens around a text twice")
    single, pair = _items(parts[0]) if parts else PLAIN
    for items, wanted in ((single, [TEMPLATE_A]), (pair, [TEMPLATE_B, TEMPLATE_A])):
        found = sorted(identity for identity, _ in items if identity < 0)
        if found != wanted:
            raise UnsupportedTemplate(f"its post-processor repeats the text {found.count(TEMPLATE_A)} times")
    return single, pair


def _members(part: Any) -> list[Mapping[str, Any]]:
    """The members of a (nested) Sequence that add tokens: ByteLevel only moves offsets."""
    if part is None or part["type"] == "ByteLevel":
        return []
    if part["type"] != "Sequence":
        return [part]
    return [member for inner in part["processors"] for member in _members(inner)]


def _items(part: Mapping[str, Any]) -> tuple[Items, Items]:
    """For one text and for two."""
    kind = part["type"]
    if kind == "TemplateProcessing":
        return _of_template(part, "single"), _of_template(part, "pair")
    if kind not in ("BertProcessing", "RobertaProcessing"):
        raise UnsupportedTemplate(f"its post-processor {kind} has no counterpart on the device")
    first, last = int(part["cls"][1]), int(part["sep"][1])
    single = ((first, 0), (TEMPLATE_A, 0), (last, 0))
    if kind == "BertProcessing":
        return single, (*single, (TEMPLATE_B, 1), (last, 1))
    return single, (*single, (last, 0), (TEMPLATE_B, 0), (last, 0))


def _of_template(part: Mapping[str, Any], key: str) -> Items:
    items: list[TemplateItem] = []
    for item in part[key]:
        if "Sequence" in item:
            text = item["Sequence"]
            items.append((TEMPLATE_A if text["id"] == "A" else TEMPLATE_B, int(text["type_id"])))
        else:
            token = item["SpecialToken"]
            ids = part["special_tokens"][token["id"]]["ids"]
            items += [(int(i), int(token["type_id"])) for i in ids]
    return tuple(items)
