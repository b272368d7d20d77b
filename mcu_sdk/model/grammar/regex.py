"""Regular expressions as Python's `re` reads them: the tree of its own parser, without what no finite automaton can do.

Which texts match is what `re.fullmatch` says. A JSON schema's `pattern` is searched for instead.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from mcu_sdk.model.grammar.syntax import (
    EMPTY,
    LAST,
    SURROGATES,
    Chars,
    Choice,
    GrammarError,
    Join,
    Node,
    Ranges,
    Repeat,
    complement,
    join,
    union,
)

Items = Sequence[tuple[Any, Any]]
"""What the parser makes: (operation, argument)."""

ANY: Node = Repeat(Chars(complement(())), 0, None)

_ENDS = {"AT_BEGINNING": 0, "AT_BEGINNING_STRING": 0, "AT_END": 1, "AT_END_STRING": 1}
"""Anchors, and the side that they are for."""

_REFUSED = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ASSERT": "a look at what follows or comes before",
    "ASSERT_NOT": "a look at what follows or comes before",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}


def parse_regex(pattern: str) -> Node:
    """The texts that `re.fullmatch(pattern, text)` matches.

    Raises GrammarError for what is no regular expression, and for what it may hold and no automaton can follow.
    """
    return _Reader(0).whole(_tree(pattern, 0))


def parse_searched(pattern: str) -> Node:
    """The texts in which `re.search(pattern, text, re.ASCII)` finds something, `$` being the very end: a JSON schema's pattern."""
    tree = _tree(pattern, re.ASCII)
    if tree.state.flags & re.MULTILINE:
        raise _refused("the flag (?m)", pattern)
    reader = _Reader(tree.state.flags)
    options = []
    for items in _alternatives(list(tree)):
        inner, begins, ends = _trimmed(items)
        options.append(join(EMPTY if begins else ANY, reader.items(inner), EMPTY if ends else ANY))
    return Choice(tuple(options))


def _tree(pattern: str, flags: int) -> Any:
    from re import _parser  # type: ignore[attr-defined]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _parser.parse(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise GrammarError(
            f"A regular expression of Python's re was expected; {pattern[:80]!r} is none: {error}.",
            hint='`python -c "import re; re.compile(PATTERN)"` says the same.',
        ) from error
    _check_flags(tree.state.flags, pattern)
    return tree


def _check_flags(flags: int, pattern: str) -> None:
    for flag, name in ((re.IGNORECASE, "(?i)"), (re.LOCALE, "(?L)")):
        if flags & flag:
            raise _refused(f"the flag {name}", pattern)


def _refused(what: str, where: str = "") -> GrammarError:
    return GrammarError(
        f"A grammar cannot have {what}" + (f": {where[:80]!r}." if where else "."),
        hint="docs/sampling.md lists what a regular expression may hold.",
    )


def _name(operation: Any) -> str:
    return str(operation)


# ---- anchors


def _alternatives(items: list[tuple[Any, Any]]) -> list[list[tuple[Any, Any]]]:
    """The pattern as alternatives of which each has its anchors, if any, at its own ends."""
    for place in {0, len(items) - 1} if items else set():
        operation, argument = items[place]
        inner: Iterable[Any] | None = None
        if _name(operation) == "BRANCH":
            inner = argument[1]
        elif _name(operation) == "SUBPATTERN" and not argument[1] and not argument[2]:
            inner = [argument[3]]
        if inner is not None and any(_has_anchor(list(option)) for option in inner):
            whole = [[*items[:place], *option, *items[place + 1 :]] for option in inner]
            return [alternative for option in whole for alternative in _alternatives(option)]
    return [items]


def _has_anchor(items: Items) -> bool:
    for operation, argument in items:
        name = _name(operation)
        if name == "AT":
            return True
        if name == "BRANCH" and any(_has_anchor(list(option)) for option in argument[1]):
            return True
        if name == "SUBPATTERN" and _has_anchor(list(argument[3])):
            return True
    return False


def _trimmed(items: list[tuple[Any, Any]]) -> tuple[Items, bool, bool]:
    """The pattern without the anchors at its ends, and whether there were such."""
    begin, end = 0, len(items)
    while begin < end and _side(items[begin]) == 0:
        begin += 1
    while end > begin and _side(items[end - 1]) == 1:
        end -= 1
    return items[begin:end], begin > 0, end < len(items)


def _side(item: tuple[Any, Any]) -> int | None:
    return _ENDS.get(_name(item[1])) if _name(item[0]) == "AT" else None


# ---- the tree


class _Reader:
    """`flags`: those of the part that is being read."""

    def __init__(self, flags: int) -> None:
        self._flags = flags

    def whole(self, tree: Any) -> Node:
        """A pattern that all of a text has to match: anchors at its ends say nothing new."""
        self._flags |= tree.state.flags
        options = [_trimmed(items)[0] for items in _alternatives(list(tree))]
        return Choice(tuple(self.items(items) for items in options))

    def items(self, items: Iterable[tuple[Any, Any]]) -> Node:
        return Join(tuple(self._item(_name(operation), argument) for operation, argument in items))

    def _item(self, name: str, argument: Any) -> Node:
        if name in _REFUSED:
            raise _refused(_REFUSED[name])
        if name == "AT":
            raise _refused(f"an anchor or a word's border ({_name(argument)}) inside")
        known: dict[str, Callable[[Any], Node]] = {
            "LITERAL": lambda code: Chars(union([(code, code)])),
            "NOT_LITERAL": lambda code: Chars(complement(union([(code, code)]))),
            "ANY": lambda _: Chars(complement(() if self._flags & re.DOTALL else ((10, 10),))),
            "IN": lambda parts: Chars(self._set(parts)),
            "BRANCH": lambda branch: Choice(tuple(self.items(option) for option in branch[1])),
            "SUBPATTERN": self._group,
            "MAX_REPEAT": self._repeat,
            "MIN_REPEAT": self._repeat,  # the same texts, in another order
        }
        if name not in known:
            raise _refused(f"the operation {name}")
        return known[name](argument)

    def _group(self, argument: Any) -> Node:
        _, more, fewer, items = argument
        _check_flags(more, "")
        before = self._flags
        self._flags = (before | more) & ~fewer
        try:
            return self.items(items)
        finally:
            self._flags = before

    def _repeat(self, argument: Any) -> Node:
        least, most, items = argument
        unlimited = _name(most) == "MAXREPEAT"
        return Repeat(self.items(items), int(least), None if unlimited else int(most))

    def _set(self, parts: Items) -> Ranges:
        negated, sets = False, list[Ranges]()
        for operation, argument in parts:
            name = _name(operation)
            if name == "NEGATE":
                negated = True
            elif name == "LITERAL":
                sets.append(((argument, argument),))
            elif name == "RANGE":
                sets.append((tuple(argument),))
            elif name == "CATEGORY":
                sets.append(_category(_name(argument), bool(self._flags & re.ASCII)))
            else:
                raise _refused(f"{name} in a set of characters")
        found = union(*sets)
        return complement(found) if negated else found


@lru_cache(maxsize=16)
def _category(name: str, ascii_only: bool) -> Ranges:
    r"""\d, \s, \w, or what is none of these, as `re` itself has them."""
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}.get(name.rpartition("_")[2])
    if letter is None:
        raise _refused(f"the category {name}")
    everything = "".join(map(chr, [*range(SURROGATES[0]), *range(SURROGATES[1] + 1, LAST + 1)]))
    runs = re.finditer(rf"\{letter}+", everything, re.ASCII if ascii_only else 0)
    found = union((ord(run[0][0]), ord(run[0][-1])) for run in runs)
    return complement(found) if "_NOT_" in name else found
