"""The process in which a chat template is rendered: it is started as a script, by rendering.py.

A template is a program of somebody else's. It runs in transformers' own sandbox, the one of `apply_chat_template`, and
under limits of processor time and memory, since a sandbox lets a loop run for ever. Standard input has what to do as JSON,
standard output gets [text or null, what went wrong] for each conversation.
"""

from __future__ import annotations

import datetime
import json
import resource
import sys
from typing import Any

_MOST_MEMORY = 4 << 30
_LONGEST = 1 << 20
"""Characters of a rendered conversation."""


def main() -> None:
    """{"template", "specials", "seconds", "jobs": [{"messages", "day", "hour"}]}: as `rendering.render` sends it."""
    from transformers.utils import chat_template_utils

    task: dict[str, Any] = json.load(sys.stdin)
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + task["seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    answers = []
    for job in task["jobs"]:
        vars(chat_template_utils)["datetime"] = _clock(job["day"], job["hour"])
        try:
            rendered: Any = chat_template_utils.render_jinja_template(
                [job["messages"]],
                chat_template=task["template"],
                add_generation_prompt=True,
                **task["specials"],
            )
            text = rendered[0][0]
            answers.append([text, ""] if len(text) <= _LONGEST else [None, "more than a megabyte of text"])
        except Exception as error:  # jinja2's, and what a template's own expressions raise
            answers.append([None, f"{type(error).__name__}: {error}"])
    json.dump(answers, sys.stdout)


def _clock(day: int, hour: int) -> type:
    """`datetime` at this hour of the day with this number, for `strftime_now`."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.fromordinal(day).replace(hour=hour, tzinfo=tz)

    return Clock


if __name__ == "__main__":
    main()
