"""What every table of a board.toml is made of: a model that knows all of its keys, sizes, addresses."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ADDRESS_LIMIT = 1 << 32
IDENTIFIER = r"^[a-z][a-z0-9_]{0,31}$"
"""A name in a board.toml."""
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def bytes_of(value: Any) -> Any:
    """4096 of 4096, "4K" or "4096"; raises ValueError for a text that is no size."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+)\s*([KMG]?)", value)
    if match is None:
        raise ValueError(f'a size is a number of bytes or text such as "512K", not {value!r}')
    return int(match[1]) * _UNITS[match[2]]


_Written = Annotated[int, Field(ge=0, le=ADDRESS_LIMIT)] | Annotated[str, Field(pattern=r"^\d+\s*[KMG]?$")]
"""A size as it stands in a file, for the schema."""

Size = Annotated[
    int,
    BeforeValidator(bytes_of, json_schema_input_type=_Written),
    Field(ge=0, le=ADDRESS_LIMIT, strict=True),
]
Address = Annotated[int, Field(ge=0, lt=ADDRESS_LIMIT, strict=True)]
Word = Annotated[int, Field(ge=0, lt=1 << 32, strict=True)]


class Table(BaseModel):
    """A TOML table: nothing but the keys that are known, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
