"""A grammar from the user's file to the tables of model/grammar.cpp."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mcu_sdk.model.grammar.automaton import NOWHERE, Automaton, build
from mcu_sdk.model.grammar.json_schema import parse_schema
from mcu_sdk.model.grammar.regex import parse_regex
from mcu_sdk.model.grammar.syntax import GrammarError
from mcu_sdk.model.grammar.tokens import NEVER, TokenGrammar
from mcu_sdk.model.tokenizer import compile_tokenizer, read_text, tokenizer_file


def read_grammar(grammar: Path | None, json_schema: Path | None) -> Automaton | None:
    """The automaton of a regular expression, or of a JSON schema; None where neither is given.

    The line break at a file's end is no part of the expression. Raises TextError for a file that cannot be read, and
    GrammarError with the file's name.
    """
    path = grammar or json_schema
    if path is None:
        return None
    text = read_text(path, "with a grammar")
    try:
        return build(
            parse_regex(text.removesuffix("\n").removesuffix("\r")) if grammar else parse_schema(text)
        )
    except GrammarError as error:
        raise GrammarError(f"{path}: {error.message}", hint=error.hint) from error
    except RecursionError as error:
        raise GrammarError(f"{path}: the grammar is nested too deep.", hint="Write it flatter.") from error


def grammar_of_tokens(
    automaton: Automaton, tokenizer: Path | None, vocabulary: int | None, ends: Collection[int]
) -> TokenGrammar:
    """The grammar over the tokens of a tokenizer.json, or of a folder with one. `vocabulary`: None where it is not known.

    Raises GrammarError without a tokenizer, with one that does not run on the device, and for a grammar that its tokens
    cannot follow.
    """
    path = None if tokenizer is None else tokenizer_file(tokenizer)
    if path is None or not path.is_file():
        raise GrammarError(
            "A grammar is followed by what tokens say, and the model has no tokenizer (tokenizer.json).",
            hint="Name one with --tokenizer, or leave the grammar out.",
        )
    compiled = compile_tokenizer(path)
    if not compiled.supported:
        raise GrammarError(
            f"A grammar is followed by what tokens say, and the tokenizer does not run on the device: {compiled.reason}.",
            hint="Leave the grammar out.",
        )
    known = len(compiled.token_bytes) if vocabulary is None else vocabulary
    return TokenGrammar.of(automaton, compiled.token_bytes, known, ends)


def check_length(grammar: TokenGrammar, length: int | None) -> None:
    """Raises GrammarError where no answer fits into a cache of `length` positions (None: not known yet)."""
    if length is not None and grammar.shortest > length:
        raise GrammarError(
            f"The shortest answer that the grammar allows has {grammar.shortest} tokens; the model's cache holds {length}.",
            hint="Give a longer --max-cache-len, or a grammar with shorter answers.",
        )


def tables_of(grammar: TokenGrammar) -> dict[str, Any]:
    """What templates/model/grammar.cpp.j2 prints; `bytes`: how many that are."""
    automaton = grammar.automaton
    states, classes = automaton.next.shape
    following = automaton.next.astype(int).reshape(-1)
    following[following == NOWHERE] = NEVER
    return {
        "states": states,
        "class_count": classes,
        "classes": [str(name) for name in automaton.classes.tolist()],
        "next": [str(state) for state in following.tolist()],
        "left": [str(count) for count in grammar.left.tolist()],
        "bytes": 256 + 2 * states * (classes + 1),
        "shortest": grammar.shortest,
        "token_bytes": sum(map(len, grammar.token_bytes)),
    }
