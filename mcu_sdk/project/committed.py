"""What a project's owner commits beside it: known answers and a baseline, in tests/; `mcu-sdk test --update` writes both.

Each file names the model that it is of, and the baseline its board too: figures of another one say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mcu_sdk.errors import UsageError
from mcu_sdk.json_file import JsonFileError, read_object
from mcu_sdk.project.files import replace_file
from mcu_sdk.project.opened import Project
from mcu_sdk.targets.protocol import Request, Transcript
from mcu_sdk.targets.texts import TextRequest

FORMAT = 1
ANSWERS = "tests/answers.json"
BASELINE = "tests/baseline.json"
TOLERANCE = 1.0
"""Percent that a figure may be above its baseline, unless the file says another number: another release of the
compiler makes other code."""

_UPDATE = "`mcu-sdk test PROJECT --update` writes it; look at what changed, and commit it."


Question = Request | TextRequest


@dataclass(frozen=True)
class Answer:
    """What the firmware answers to a request: `digest` over every step's outputs, and the tokens: a language model's own,
    or those that a text was encoded to."""

    request: Question
    digest: str
    ids: tuple[int, ...] = ()
    text: str = ""

    @classmethod
    def of(cls, request: Question, transcript: Transcript) -> Answer:
        return cls(request, transcript.digest or "", tokens_of(request, transcript), transcript.text)


def tokens_of(request: Question, transcript: Transcript) -> tuple[int, ...]:
    """The tokens of an answer: of a text that is read those that the firmware made of it."""
    return tuple(transcript.prompt_ids if isinstance(request, TextRequest) else transcript.ids)


@dataclass(frozen=True)
class Baseline:
    """`measures`: by name ("flash_bytes"), each at most `tolerance_percent` above what stands here."""

    model: str
    board: str
    measures: dict[str, int]
    tolerance_percent: float = TOLERANCE


# ---- known answers


def read_answers(project: Project) -> list[Answer]:
    """Raises UsageError where there are none, where they are another model's, and for a file that holds no answers."""
    path = project.folder / ANSWERS
    content = _read(path, "known answers")
    _check_model(path, content, project)
    try:
        found = [_answer(entry) for entry in content["answers"]]
        if not found:
            raise ValueError("there are none")
        for answer in found:
            answer.request.encode()
        return found
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise _damaged(path, "known answers", error) from error


def requests_in(project: Project) -> list[Question]:
    """The requests whose answers are known, whichever model's; none where there is no file."""
    path = project.folder / ANSWERS
    if not path.is_file():
        return []
    try:
        return [_answer(entry).request for entry in _read(path, "known answers")["answers"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, "known answers", error) from error


def write_answers(project: Project, answers: Sequence[Answer]) -> Path:
    """Raises OSError."""
    entries = [
        {"request": _request_json(a.request), "digest": a.digest, "ids": _ids_text(a.ids), "text": a.text}
        for a in answers
    ]
    return _write(project.folder / ANSWERS, {"model": project.manifest.model.sha256, "answers": entries})


def _answer(entry: Mapping[str, Any]) -> Answer:
    request = dict(entry["request"])
    digest, text = entry["digest"], entry.get("text", "")
    if not isinstance(digest, str) or not isinstance(text, str):
        raise TypeError("an answer is no digest, ids and text")
    if "read" in request:
        return Answer(_text_request(request), digest, _ids(entry.get("ids", "")), text)
    if not request.keys() <= _DEFAULTS.keys():
        raise ValueError(f"a request has {', '.join(sorted(request.keys() - _DEFAULTS.keys()))}")
    if "ids" in request:
        request["ids"] = _ids(request["ids"])
    if "logit_bias" in request:
        request["logit_bias"] = {int(token): value for token, value in request["logit_bias"].items()}
    return Answer(Request(**request), digest, _ids(entry.get("ids", "")), text)


def _ids(text: str) -> tuple[int, ...]:
    """Token ids as `--ids` has them."""
    return tuple(int(part) for part in text.split(",")) if text else ()


def _ids_text(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


_DEFAULTS = {field.name: field.default for field in fields(Request)}


def _text_request(entry: Mapping[str, Any]) -> TextRequest:
    """A text for an encoder: {"read": the text, "pair": the second one}."""
    given = dict(entry)
    text, pair = given.pop("read"), given.pop("pair", None)
    if given or not isinstance(text, str) or not isinstance(pair, (str, type(None))):
        raise ValueError("a text to read has a second one beside it at most")
    return TextRequest(text, pair)


def _request_json(request: Question) -> dict[str, Any]:
    """What differs from the defaults; that of how many tokens there are is said."""
    if isinstance(request, TextRequest):
        pair = {} if request.pair is None else {"pair": request.pair}
        return {"read": request.text, **pair}
    values = {name: getattr(request, name) for name in _DEFAULTS}
    shown = {name: value for name, value in values.items() if value != _DEFAULTS[name]}
    if request.steps is None:
        shown["tokens"] = request.tokens
    if request.ids is not None:
        shown["ids"] = _ids_text(request.ids)
    if request.stop:
        shown["stop"] = list(request.stop)
    if request.biases:
        shown["logit_bias"] = {str(token): value for token, value in request.biases}
    return shown


# ---- baseline


def read_baseline(project: Project) -> Baseline:
    """Raises UsageError where there is none, or where it is of another model or board."""
    path = project.folder / BASELINE
    baseline = parse_baseline(path)
    _check_model(path, {"model": baseline.model}, project)
    if baseline.board != project.board.name:
        raise UsageError(
            f"{path} is the baseline of the board {baseline.board!r}; the project is for {project.board.name!r}.",
            hint=_UPDATE,
        )
    return baseline


def parse_baseline(path: Path) -> Baseline:
    """A file's content, whichever model's. Raises UsageError for one that is not there, or holds something else."""
    content = _read(path, "a baseline")
    try:
        measures = {str(name): value for name, value in content["measures"].items()}
        tolerance = content.get("tolerance_percent", TOLERANCE)
        if not all(type(value) is int and value >= 0 for value in measures.values()):
            raise TypeError("a measure is no number")
        if type(tolerance) not in (int, float) or not 0 <= tolerance <= 1000:
            raise ValueError("tolerance_percent is a number from 0 to 1000")
        return Baseline(str(content["model"]), str(content["board"]), measures, float(tolerance))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, "a baseline", error) from error


def kept_tolerance(project: Project) -> float:
    """That of the baseline that is there, which its owner may have changed."""
    path = project.folder / BASELINE
    return parse_baseline(path).tolerance_percent if path.is_file() else TOLERANCE


def write_baseline(project: Project, measures: Mapping[str, int], tolerance: float) -> Path:
    """Raises OSError."""
    content = {
        "model": project.manifest.model.sha256,
        "board": project.board.name,
        "tolerance_percent": tolerance,
        "measures": dict(measures),
    }
    return _write(project.folder / BASELINE, content)


# ---- files


def _read(path: Path, what: str) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"There is no {path}: {what} were expected there." if what.endswith("s") else
                         f"There is no {path}: {what} was expected there.", hint=_UPDATE)  # fmt: skip
    try:
        content = read_object(path)
    except JsonFileError as error:
        raise _damaged(path, what, error) from error
    found = content.pop("format", None)
    if found != FORMAT:
        raise _damaged(path, what, ValueError(f"its format is {found!r}, and this mcu-sdk reads {FORMAT}"))
    return content


def _check_model(path: Path, content: Mapping[str, Any], project: Project) -> None:
    model = project.manifest.model.sha256
    if content.get("model") != model:
        raise UsageError(
            f"{path} is of the model {str(content.get('model'))[:16]}; the project has {model[:16]}.",
            hint=_UPDATE,
        )


def _damaged(path: Path, what: str, error: Exception) -> UsageError:
    return UsageError(f"{path} does not hold {what}: {error}.", hint=_UPDATE)


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    replace_file(path, json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=True) + "\n")
    return path
