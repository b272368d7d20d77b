"""Commands to a home, made from grammar.toml: sentences with what is meant by them, and a split that keeps templates and
values apart.

    python examples/home_commands/grammar.py --count 2000 --out build/held_out.csv

writes held-out sentences as a table for `mcu-sdk evaluate PROJECT --dataset`, with --all-held-out such that have no value
of the training's at all, with --training some as the model is trained on. Everything comes from seeds: the same one gives
the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("grammar.toml")
SPLIT_SEED = 3
"""Decides which templates and values are held out. Grammar and training were worked out on 1 and 2."""

HELD_OUT_TEMPLATES, HELD_OUT_VALUES = 0.2, 0.25
MADE_UP, OUT_OF_PLACE, MISSPELT, PUNCTUATED = 0.5, 0.35, 0.08, 0.3
"""Shares, in training, of the values that are in no list; of the known words among theirs; and of the sentences with a word
misspelt. The last is of all sentences: those with a full stop or the like."""

NOT_HELD_OUT = 0.0
"""The share of held-out values in training."""


@dataclass(frozen=True)
class Slot:
    """The characters `begin` to `end` of a text, and what they say."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class Sentence:
    """`template`: the text with its slots' names in place of their values, without what is around a request."""

    text: str
    intent: str
    slots: tuple[Slot, ...]
    template: str

    @property
    def label(self) -> str:
        """As `mcu-sdk evaluate --dataset` reads it: "turn_on; room=kitchen; device=lamp"."""
        found = (f"{slot.name}={self.text[slot.begin : slot.end]}" for slot in self.slots)
        return "; ".join((self.intent, *found))


@dataclass(frozen=True)
class Line:
    """A template. `is_request`: "please" may stand before it."""

    intent: str
    text: str
    is_request: bool


Word = tuple[str, str | None]
"""A piece of a sentence, and the slot that it fills."""


class Grammar:
    """The lines and values of grammar.toml, divided into those for training and those held out."""

    def __init__(self, path: Path = FILE, split: int = SPLIT_SEED) -> None:
        self._content = tomllib.loads(path.read_text(encoding="utf-8"))
        rng = random.Random(split)
        self.lines: dict[bool, dict[str, list[Line]]] = {False: {}, True: {}}
        for intent in self._content["lines"]:
            trained, held_out = _divide_lines(self._lines(intent), rng)
            self.lines[False][intent], self.lines[True][intent] = trained, held_out
        self.values: dict[bool, dict[str, list[str]]] = {False: {}, True: {}}
        for name, described in self._content["values"].items():
            self._divide_values(name, described, rng)
        self._held_out = {
            (self.slot_of(name), value) for name, values in self.values[True].items() for value in values
        }
        self._reserved = {word for _, value in self._held_out for word in value.split()}

    @property
    def intents(self) -> tuple[str, ...]:
        return tuple(self._content["lines"])

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._content["slots"].values()))

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the model: the parts of slots, and the intents, which are labels of a whole text."""
        parts = (f"{which}-{slot}" for slot in self.slots for which in "BI")
        return ("O", *parts, *(f"text:{intent}" for intent in self.intents))

    def slot_of(self, name: str) -> str:
        """The slot that a list of values fills."""
        return str(self._content["slots"][name])

    def always(self, name: str) -> list[str]:
        """Values that are in training and in what is held out: words such as "half", beside which there are numbers."""
        return list(self._content["values"][name].get("always", ()))

    def _lines(self, intent: str) -> list[Line]:
        parts = self._content["lines"][intent]
        return [Line(intent, text, kind == "do") for kind in ("do", "say") for text in parts.get(kind, ())]

    def _in_words(self, number: int) -> str:
        """1 to 100."""
        units, tens = self._content["numbers"]["units"], self._content["numbers"]["tens"]
        if number < 20:
            return str(units[number - 1])
        if number == 100:
            return "a hundred"
        rest = f" {units[number % 10 - 1]}" if number % 10 else ""
        return f"{tens[number // 10 - 2]}{rest}"

    def _divide_values(self, name: str, described: dict[str, Any], rng: random.Random) -> None:
        values = list(described.get("list", ()))
        for first in described.get("combine", [[], []])[0]:
            values += [f"{first} {second}" for second in described["combine"][1]]
        if "numbers" in described:
            low, high = described["numbers"]
            for number in range(low, high + 1):
                values += [
                    form.format(n=self._in_words(number), d=number)
                    for form in dict.fromkeys(described["forms"])
                ]
        rng.shuffle(values)
        count = round(len(values) * HELD_OUT_VALUES)
        self.values[True][name] = values[:count]
        self.values[False][name] = [*values[count:], *described.get("known", ())]

    def sentences(
        self, count: int, seed: int, *, held_out: bool = False, all_values: bool = False
    ) -> Iterator[Sentence]:
        """`count` sentences, each intent as often as the others. For training some values are in no list and some words
        misspelt; what is held out has neither, no template that a line of the training's could make, and at least one value
        of which training has none, or with `all_values` none of which training has any (but for the `always` words)."""
        rng = random.Random(f"{seed} {held_out}")
        share = (1.0 if all_values else HELD_OUT_VALUES) if held_out else NOT_HELD_OUT
        made = 0
        while made < count:
            intent = self.intents[made % len(self.intents)]
            line = rng.choice(self.lines[held_out][intent])
            sentence = self._sentence(rng, line, share)
            while held_out and not self.held_out_values(sentence):
                sentence = self._sentence(rng, line, share)
            if not held_out or not self.is_trained(sentence.template):
                made += 1
                yield sentence

    def held_out_values(self, sentence: Sentence) -> int:
        """How many slots of a sentence have a value that is held out."""
        values = ((slot.name, sentence.text[slot.begin : slot.end].lower()) for slot in sentence.slots)
        return sum(value in self._held_out for value in values)

    def is_trained(self, template: str) -> bool:
        """Whether a line of those for training makes a template: two lines may make the same one."""
        return any(pattern.fullmatch(f"{template} ") for pattern in self._patterns)

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        """What the lines for training make, each word with a space behind it."""
        lines = (line for lines in self.lines[False].values() for line in lines)
        return [re.compile(self._pattern(line.text)) for line in lines]

    def _pattern(self, text: str) -> str:
        parts = []
        for part in re.findall(r"[()|]|[^()|\s]+", text):
            if part in "()|":
                parts.append("(?:" if part == "(" else part)
            elif part.startswith("<"):
                choices = dict.fromkeys(self._content["rules"][part[1:-1]])
                parts.append(f"(?:{'|'.join(self._pattern(choice) for choice in choices)})")
            else:
                word = f"{{{self.slot_of(part[1:-1])}}}" if part.startswith("{") else part
                parts.append(re.escape(f"{word} "))
        return "".join(parts)

    def _sentence(self, rng: random.Random, line: Line, share: float) -> Sentence:
        core = self._expand(line.text, rng, share)
        before = self._expand("<please>", rng, share) if line.is_request and rng.random() < 0.4 else []
        after = self._expand("<thanks>", rng, share) if line.is_request and rng.random() < 0.15 else []
        template = " ".join(text if slot is None else f"{{{slot}}}" for text, slot in core)
        words = [*before, *core, *after]
        if share == NOT_HELD_OUT and rng.random() < MISSPELT:
            words = _misspell(words, rng)
        text, slots = _joined(words)
        if rng.random() < PUNCTUATED:
            text += rng.choice(".!?" if line.intent == "query" else "..!")
        if rng.random() < 0.2:
            text = text[0].upper() + text[1:]
        return Sentence(text, line.intent, slots, template)

    def _expand(self, text: str, rng: random.Random, share: float) -> list[Word]:
        """A line's words, its choices made."""
        while found := re.search(r"\(([^()]*)\)", text):
            text = text[: found.start()] + rng.choice(found[1].split("|")) + text[found.end() :]
        words: list[Word] = []
        for part in text.split():
            if part.startswith("<"):
                words += self._expand(rng.choice(self._content["rules"][part[1:-1]]), rng, share)
            elif part.startswith("{"):
                name = part[1:-1]
                words.append((self._value(name, rng, share), self.slot_of(name)))
            else:
                words.append((part, None))
        return words

    def _value(self, name: str, rng: random.Random, share: float) -> str:
        if share == NOT_HELD_OUT and name in self._content["made_up"]["lists"] and rng.random() < MADE_UP:
            return self._name(name, rng)
        always = self.always(name)
        if always and rng.random() < 0.15:
            return rng.choice(always)
        return rng.choice(self.values[rng.random() < share][name])

    def _name(self, name: str, rng: random.Random) -> str:
        """A value that is in no list: a made-up word or a known one out of its place, or two words."""
        words, firsts, lasts = self._parts[name]
        slot = self.slot_of(name)

        def word(known: Sequence[str], share: float = OUT_OF_PLACE) -> str:
            return rng.choice(known) if rng.random() < share else self._made_up(rng)

        while True:
            kind = rng.random()
            if kind < 0.6:
                made = word(words)
            elif slot == "room" and kind < 0.65:
                made = f"{self._made_up(rng)}'s {rng.choice(lasts)}"
            elif slot == "room" and kind < 0.75:
                made = f"{word(firsts, 0.8)} {self._made_up(rng)}"
            else:
                # "quorvin lamp" is a room and a lamp, "window lamp" is one device: only known words tell
                made = f"{word(firsts, 1.0 if slot == 'device' else OUT_OF_PLACE)} {rng.choice(lasts)}"
            if (slot, made) not in self._held_out:
                return made

    @cached_property
    def _parts(self) -> dict[str, tuple[list[str], list[str], list[str]]]:
        """Of each list that takes names: words that can be one, that come first in one, and that end one."""
        lists = self._content["made_up"]["lists"]
        all_of: dict[str, set[str]] = {slot: set() for slot in self.slots}
        ends: dict[str, set[str]] = {slot: set() for slot in self.slots}
        for name in (*lists, "named"):
            for value in self.values[False][name]:
                words = [word for word in value.split() if word.isalpha()]
                all_of[self.slot_of(name)].update(words)
                ends[self.slot_of(name)].update(words[-1:])
        also = set(self._content["made_up"]["also"]) & self.words
        rooms, scenes, colors = all_of["room"], all_of["scene"], all_of["color"]
        devices = (all_of["device"] | rooms) - ends["room"] - colors
        others = scenes - all_of["device"] - rooms
        names = rooms | devices | scenes
        parts = {
            "room": ((rooms | scenes) - devices, names - ends["room"], ends["room"]),
            "device": (devices, (devices | scenes) - ends["room"] - colors, set[str]()),
            "color": (others, others | colors, set[str]()),
            "scene": (names | also, names | also, names | also),
        }
        made = {}
        for name in lists:
            known, firsts, lasts = parts[self.slot_of(name)]
            own = {value.split()[-1] for value in self.values[False][name] if " " in value}
            made[name] = (sorted(known), sorted(firsts), sorted(lasts or own))
        return made

    @cached_property
    def words(self) -> frozenset[str]:
        """Those of the lines and values for training."""
        texts = [line.text for lines in self.lines[False].values() for line in lines]
        texts += [text for rule in self._content["rules"].values() for text in rule]
        for name, values in self.values[False].items():
            texts += [*values, *self.always(name)]
        found = (re.findall(r"[a-z]+", re.sub(r"<[^>]*>|{[^}]*}", "", text)) for text in texts)
        return frozenset(word for words in found for word in words)

    def _made_up(self, rng: random.Random) -> str:
        """A word that is in no value: of syllables, or of the beginning of a known word and the end of another."""
        parts = self._content["made_up"]
        while True:
            if rng.random() < 0.5:
                count = rng.choice((1, 2, 2, 3))
                syllables = (rng.choice(parts["onsets"]) + rng.choice(parts["vowels"]) for _ in range(count))
                word = "".join(syllables) + rng.choice(parts["ends"])
            else:
                first, second = rng.choices(self._known_words, k=2)
                word = (
                    first[: rng.randrange(2, len(first) + 1)] + second[-rng.randrange(2, len(second) + 1) :]
                )
            if word not in self._reserved and word not in self.words:
                return word

    @cached_property
    def _known_words(self) -> list[str]:
        """Of the values for training that made-up ones take the place of."""
        values = (value for name in self._content["made_up"]["lists"] for value in self.values[False][name])
        words = {word for value in values for word in value.split() if word.isalpha() and len(word) > 2}
        return sorted(words)


def _divide_lines(lines: Sequence[Line], rng: random.Random) -> tuple[list[Line], list[Line]]:
    """A fifth is held out, each line of which has no word that no line of the rest has."""
    shuffled = list(lines)
    rng.shuffle(shuffled)
    held_out: list[Line] = []
    for line in shuffled:
        rest = {
            word
            for other in shuffled
            if other is not line and other not in held_out
            for word in _words(other)
        }
        if len(held_out) < round(len(lines) * HELD_OUT_TEMPLATES) and _words(line) <= rest:
            held_out.append(line)
    return [line for line in lines if line not in held_out], held_out


def _words(line: Line) -> set[str]:
    """Also the rules and lists that it names."""
    return set(re.sub(r"[()|]", " ", line.text).split())


def _misspell(words: list[Word], rng: random.Random) -> list[Word]:
    """Two letters of a word exchanged, one left out or doubled."""
    long = [i for i, (text, _) in enumerate(words) if len(text) > 3 and " " not in text and text.isalpha()]
    if not long:
        return words
    which = rng.choice(long)
    text, slot = words[which]
    at = rng.randrange(1, len(text) - 1)
    changed = rng.choice(
        (
            text[:at] + text[at + 1] + text[at] + text[at + 2 :],
            text[:at] + text[at + 1 :],
            text[:at] + text[at] + text[at:],
        )
    )
    return [*words[:which], (changed, slot), *words[which + 1 :]]


def _joined(words: Sequence[Word]) -> tuple[str, tuple[Slot, ...]]:
    """The text, and where in it the slots are."""
    text, slots = "", []
    for word, slot in words:
        begin = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        if slot is not None:
            slots.append(Slot(slot, begin, len(text)))
    return text, tuple(slots)


def write_table(path: Path, sentences: Iterator[Sentence]) -> None:
    """A CSV with the columns text and label; a .txt has the texts alone, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".txt":
        path.write_text("".join(f"{each.text}\n" for each in sentences), encoding="utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows((each.text, each.label) for each in sentences)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--training", action="store_true", help="not what is held out")
    which.add_argument("--all-held-out", action="store_true", help="every value, not at least one")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    sentences = Grammar().sentences(
        options.count, options.seed, held_out=not options.training, all_values=options.all_held_out
    )
    write_table(options.out, sentences)


if __name__ == "__main__":
    main()
