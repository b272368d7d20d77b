"""The JSON schema of board.toml, made of the model that reads it: editors complete and check by it.

taplo, and Even Better TOML with it, find it by the line `#:schema` of a file (boards new writes one), and in a checkout
by .taplo.toml. Only reading a board checks what keys have to do with each other (regions that overlap, say).
"""

from __future__ import annotations

import json
from typing import Any

from mcu_sdk.board.board import Board

FILE = "board.schema.json"
"""Its name, in boards/ and beside a board that `boards new` made."""


def board_schema() -> dict[str, Any]:
    """JSON schema, draft 2020-12."""
    schema = Board.model_json_schema(mode="validation")
    del schema["properties"]["folder"]  # where the file lies is nothing that it says
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "board.toml of mcu-sdk",
        "description": "What a board is. docs/boards.md explains every key.",
    }


def schema_text() -> str:
    """The file's text."""
    return json.dumps(board_schema(), indent=1) + "\n"
