"""mcu-sdk.json: what a generated project was made from, what was asked for, and what is in it.

No absolute paths and no times: two runs write the same bytes. Where the inputs lie on this computer stands in PLACES, a
file that no build reads, that Git ignores, and that nobody compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from mcu_sdk import __version__
from mcu_sdk.errors import UsageError
from mcu_sdk.json_file import JsonFileError, object_or_nothing, read_object

FILE = "mcu-sdk.json"
PLACES = ".mcu-sdk/inputs.json"
TOKENIZER = "tokenizer.json"
"""In a project's model/: the file that the tables on the device were made from, byte for byte."""
GRAMMARS = {"grammar": "grammar.regex", "json_schema": "grammar.schema.json"}
"""In a project's model/, by the option: the file that the grammar's tables were made from, byte for byte."""
FORMAT = 2
_PACKAGES = ("executorch", "torch", "transformers", "ethos-u-vela")

Option = str | int | float | bool | None
Kind = Literal["packaged", "hub", "folder", "file"]


@dataclass(frozen=True)
class Input:
    """Something that a project was made from. `name`: a packaged board's, a hub id, or the last part of a path.

    `sha256`: of its content; "" for what comes with mcu-sdk, whose version says it.
    """

    kind: Kind
    name: str
    sha256: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """What the commands have to know of a project's model; 0, -1 and nothing where it is no language model's.

    `sha256`: of model/model.pte; `tokenizer`: of model/tokenizer.json, "" without one. `sinks`: positions that stay in a
    KV cache which slides when it is full; -1 for one that does not. `chat`: whether it holds conversations. `source_length`:
    tokens that are read by the encoder that it attends to, and `source_tensors`: what such a one takes instead, of which
    the last says which of its rows count (`source_masked`); 0 without one. `accelerator`: the NPU that parts of it were compiled for, by Vela's name.
    """

    sha256: str
    is_language_model: bool = False
    tokenizer: str = ""
    vocab_size: int = 0
    max_sequence_length: int = 0
    bos_id: int = -1
    sinks: int = -1
    chat: bool = False
    source_length: int = 0
    source_tensors: int = 0
    source_masked: bool = False
    accelerator: str | None = None

    @property
    def when_full(self) -> str | None:
        """What a KV cache does that slides, in words; None for one that does not."""
        return sliding(self.max_sequence_length, self.sinks) if self.sinks >= 0 else None


def sliding(length: int, sinks: int) -> str:
    """What a KV cache of `length` positions keeps when it slides."""
    return f"slides: the first {sinks:,} positions and the last {length - sinks:,} stay"


@dataclass(frozen=True)
class Manifest:
    """The content of mcu-sdk.json.

    `name`: of the model, fit for printing. `inputs`: by the option that names them ("model", "board", "pte",
    "calibration_text", "tokenizer"); `options`: the other options of `generate`, by flag ("max_cache_len"). `files`: the
    SHA-256 of every generated file, by its path (mcu_sdk/project/edited.py).
    """

    name: str
    board: str
    model: ModelFacts
    inputs: dict[str, Input]
    options: dict[str, Option]
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def digest(data: bytes) -> str:
    """What `Input.sha256` is for a file."""
    return sha256(data).hexdigest()


def versions() -> dict[str, str]:
    """mcu-sdk's own version and those of the packages that decide what is generated."""
    found = {"mcu-sdk": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def to_json(manifest: Manifest) -> str:
    """The file's text."""
    content = asdict(manifest)
    content["inputs"] = dict(sorted(content["inputs"].items()))
    content["options"] = dict(sorted(content["options"].items()))
    return json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=True) + "\n"


def read_manifest(project: Path) -> Manifest:
    """The manifest of a generated project. Raises UsageError if the folder is none, or of another format."""
    file = project / FILE
    try:
        content = read_object(file)
    except JsonFileError as error:
        raise UsageError(
            f"{str(project)!r} is not a project that mcu-sdk generated: {FILE} should be its manifest; {error}.",
            hint="Name the folder that `mcu-sdk generate` wrote.",
        ) from error
    found = content.pop("format", None)
    if found != FORMAT:
        raise UsageError(
            f"{file} is of format {found!r}, and this mcu-sdk reads format {FORMAT}: another version wrote the project.",
            hint=f"Generate it again over the same folder (generate ... --output {project}): app/ stays as it is.",
        )
    try:
        return _manifest(content)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{file} does not hold what is expected of it: {error}.", hint="Generate the project again."
        ) from error


def _manifest(content: dict[str, Any]) -> Manifest:
    model = ModelFacts(**content.pop("model"))
    numbers = (model.vocab_size, model.max_sequence_length, model.bos_id, model.sinks)
    if not all(type(number) is int for number in numbers) or type(model.is_language_model) is not bool:
        raise ValueError("the facts of the model are of other types")
    inputs = {role: Input(**entry) for role, entry in content.pop("inputs").items()}
    if not all(isinstance(value, str) for entry in inputs.values() for value in vars(entry).values()):
        raise ValueError("an input is not told in text")
    manifest = Manifest(model=model, inputs=inputs, **content)
    if not isinstance(manifest.name, str) or not isinstance(manifest.board, str):
        raise ValueError("the name or the board is no text")
    if not all(isinstance(part, dict) for part in (manifest.options, manifest.versions, manifest.files)):
        raise ValueError("options, versions or files are no objects")
    return manifest


def places_json(places: Mapping[str, Path]) -> str:
    """The text of PLACES: each input's absolute path."""
    return json.dumps({role: str(path) for role, path in sorted(places.items())}, indent=2) + "\n"


def read_places(project: Path) -> dict[str, Path]:
    """Where the inputs were when the project was generated; nothing where that is not known: a clone, say."""
    content = object_or_nothing(project / PLACES)
    return {role: Path(path) for role, path in content.items() if isinstance(path, str)}
