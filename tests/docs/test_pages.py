"""README.md and docs/: links lead somewhere, commands exist, files that are named are there."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer.main

from mcu_sdk import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
GENERATED = ROOT / "templates" / "README.md.j2"
"""The README of a generated project: its commands are held to the same."""

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^ {4}|^|`)(mcu-sdk(?: --quiet| --debug)? [a-z][^`\n|]*)(?:`|$)", re.MULTILINE)
"""In backticks, or a line of its own."""
TARGET = re.compile(r"(?:^ {4}|`)make ([a-z][a-z-]*)", re.MULTILINE)
NAMED = re.compile(
    r"`((?:mcu_sdk|tests|tools|benchmarks|firmware|boards|templates|examples|docs)/[\w./-]*\w)`"
)


def ids(path: Path) -> str:
    return path.name


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a heading's link is called on the usual hosts: lower case, words joined by hyphens."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


@cache
def options_of(verb: str) -> frozenset[str]:
    """Every spelling of every option of a verb, and the global ones."""
    app = cli._make_app(verb)
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    names = {
        name for parameter in commands[verb].params for name in (*parameter.opts, *parameter.secondary_opts)
    }
    return frozenset(names | {"--help", "--quiet", "--debug", "-q"})


def problems_of(line: str) -> list[str]:
    """What is wrong with a line of commands as it stands in a page."""
    line = line.split("#")[0].split(" -> ")[0].replace("...", " ").strip().rstrip(".,;:")
    found = []
    for command in line.split("&&"):
        words = [word for word in shlex.split(command) if word not in ("--quiet", "--debug")]
        if words[0] != "mcu-sdk":
            continue
        verb = words[1]
        if verb not in cli.VERBS:
            found.append(f"no verb {verb!r}")
            continue
        given = [word.split("=")[0] for word in words[2:] if re.match("-[a-z-]", word)]
        found += [f"{verb} has no {name}" for name in given if name not in options_of(verb)]
    return found


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for found in LINK.finditer(page.read_text(encoding="utf-8")):
        target = found[1] or found[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [*PAGES, GENERATED], ids=ids)
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = [
        f"{command}: {problem}"
        for command in COMMAND.findall(text)
        for problem in problems_of(command.strip())
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    wrong += [f"make {name}" for name in TARGET.findall(text) if page != GENERATED and name not in targets]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_are_there(page: Path) -> None:
    """But for what a command makes, which git ignores."""
    named = {name for name in NAMED.findall(page.read_text(encoding="utf-8")) if "/build/" not in name}
    assert [name for name in sorted(named - {"benchmarks/latest.json"}) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_is_on_the_page_of_commands(verb: str) -> None:
    """By one of its spellings; those of every verb stand at the page's top."""
    page = set(re.findall(r"--[a-z][\w-]*", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")))
    command = typer.main.get_command(cli._make_app(verb)).commands[verb]  # type: ignore[attr-defined]
    waiting, missing = [command], []
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "commands", {}).values()
        spellings = [
            {name for name in (*each.opts, *each.secondary_opts) if name.startswith("--")}
            for each in one.params
        ]
        missing += [sorted(names) for names in spellings if names and not names & page]
    assert missing == []


def test_a_wrong_command_is_found() -> None:
    assert problems_of("mcu-sdk generate --bord corstone-300") == ["generate has no --bord"]
    assert problems_of("mcu-sdk generated") == ["no verb 'generated'"]
    assert problems_of("mcu-sdk run firmware --prompt 'a b'   # streams") == []
