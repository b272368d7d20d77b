"""Conversations -> texts by a checkpoint's chat template, in a process of its own (sandbox.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcu_sdk.errors import ModelError
from mcu_sdk.model.json_object import json_object
from mcu_sdk.text import one_line

FILE = "chat_template.jinja"

SECONDS = 10.0
"""Of processor time that a template may take for all that it is asked."""

_PATIENCE = 300.0
"""Seconds that go by at most, on a computer that is busy with something else."""

_SPECIALS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
DAY = 738_000
"""In 2021, in Python's count: where no day is given, what a template is told to see whether it asks."""


class Unsuitable(Exception):
    """Why there is no chat: in words that follow "its chat template"."""


@dataclass(frozen=True)
class Message:
    role: str
    content: str


Conversation = Sequence[Message]


@dataclass(frozen=True)
class Template:
    """`source`: the Jinja text; `specials`: what it calls special tokens; `name`: where it was read."""

    source: str
    specials: Mapping[str, str]
    name: str


def read_template(folder: Path) -> Template | None:
    """The template of a checkpoint's folder, as transformers finds it: chat_template.jinja, else tokenizer_config.json;
    None where there is none. Of several with names the one called "default". Raises ModelError for what is no text."""
    config = (
        json_object(folder / "tokenizer_config.json") if _is_there(folder, "tokenizer_config.json") else {}
    )
    if _is_there(folder, FILE):
        try:
            return Template((folder / FILE).read_text(encoding="utf-8"), _specials(folder, config), FILE)
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{FILE} cannot be read: {error}.", hint="Save the checkpoint again.") from error
    found = config.get("chat_template")
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    if found is None:
        return None
    if not isinstance(found, str):
        raise ModelError(
            f"chat_template in tokenizer_config.json should be a text; it is {str(found)[:60]!r}.",
            hint="Save the checkpoint again.",
        )
    return Template(found, _specials(folder, config), "tokenizer_config.json")


def _is_there(folder: Path, file: str) -> bool:
    return (folder / file).is_file()


def _specials(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The texts of special tokens by name, as apply_chat_template gives them to a template."""
    older = "special_tokens_map.json"
    merged = {**(json_object(folder / older) if _is_there(folder, older) else {}), **config}
    found = {}
    for name in _SPECIALS:
        value = merged.get(name)
        content = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(content, str):
            found[name] = content
    return found


@dataclass(frozen=True)
class Job:
    """A conversation, rendered up to where the next answer begins; `day`, `hour`: that the template is told it is."""

    messages: Conversation
    day: int = DAY
    hour: int = 0

    def to_json(self) -> dict[str, Any]:
        messages = [{"role": each.role, "content": each.content} for each in self.messages]
        return {"messages": messages, "day": self.day, "hour": self.hour}


@dataclass(frozen=True)
class Rendered:
    """A text, or what the template raised."""

    text: str | None
    error: str = ""


def render(template: Template, jobs: Sequence[Job], seconds: float = SECONDS) -> list[Rendered]:
    """What the template makes of each. Raises Unsuitable where it does not come to an end in `seconds` of processor time, or
    takes all memory."""
    task = {"template": template.source, "specials": dict(template.specials), "seconds": seconds}
    task["jobs"] = [job.to_json() for job in jobs]
    script = Path(__file__).with_name("sandbox.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(script)],
            input=json.dumps(task).encode("ascii"),
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise Unsuitable(f"does not come to an end ({_PATIENCE:g} seconds)") from error
    if done.returncode < 0:
        raise Unsuitable(f"does not come to an end within {seconds:g} seconds of processor time")
    if done.returncode > 0:
        said = one_line(done.stderr.decode("utf-8", "replace"))[-200:]
        raise Unsuitable(f"cannot be rendered: {said}")
    return [Rendered(text, error) for text, error in json.loads(done.stdout)]


def text_of(rendered: Rendered) -> str:
    """Raises Unsuitable where the template raised something."""
    if rendered.text is None:
        kind, _, said = rendered.error.partition(": ")
        said = one_line(said)[:200].rstrip(".")
        what = "does what the sandbox forbids" if kind == "SecurityError" else "raises"
        raise Unsuitable(
            f"{what}: {said or kind}" + ("" if kind in ("SecurityError", "TemplateError") else f" ({kind})")
        )
    return rendered.text


def another_day(job: Job) -> Job:
    """The same conversation on a day of another month and year."""
    return replace(job, day=job.day + 400)


def another_hour(job: Job) -> Job:
    """The same conversation on the same day, at another hour."""
    return replace(job, hour=(job.hour + 13) % 24)
