"""The model as a library (`generate --format library`): its names, and how several models share one image.

A name at link time says whose it is. What is the model's own begins with its prefix, `mcu_<name>`. A kernel, which models
share, is called after its content: `mcu_linear_s8_3f9a0c1e`, where the number is a hash of its sources and of what they
are compiled for. So the same kernel of two models is one symbol, which the linker takes from the first archive that
has it; kernels of two versions of mcu-sdk, or one for speed and one for size, are two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from mcu_sdk import resources
from mcu_sdk.errors import UsageError
from mcu_sdk.planning.kernel_files import closure, kernels
from mcu_sdk.project import flags
from mcu_sdk.project.presets import Optimize

Format = Literal["firmware", "library"]
Source = Literal["tokens", "tensors"]
"""What an encoder reads that a decoder attends to."""

SYMBOLS = "model/symbols.h"
"""The header that is included before every source: what links under which name."""

MAIN = "harness/main.cpp"
"""The program around the library with which the board is compared with the host."""

SECTIONS = {
    "weights": ".weights",
    "tokenizer": ".tokenizer",
    "arena": ".bss.arena",
    "kv_cache": ".bss.kv_cache",
}
"""The input sections of a firmware, whose linker script is ours."""

SAMPLER = "runtime/sampler.cpp"
GRAMMAR_FUNCTIONS = ("shortest", "after", "bar")
SOURCE_FUNCTIONS = {
    "tokens": ("read_source", "begin"),
    "tensors": ("source_input", "take_source", "begin"),
}
"""Of a model whose answer is about what its encoder reads or takes."""
ENCODER_FUNCTIONS = ("encoder_read", "encoder_take", "encoder_last")
SAMPLER_FUNCTIONS = ("mcu_sample", "mcu_choose", "mcu_argmax")


@dataclass(frozen=True)
class Library:
    """`name`: an identifier, "keyword_spotter". `optimize`: what the kernels are compiled for."""

    name: str
    optimize: Optimize
    is_language_model: bool
    has_tokenizer: bool
    has_grammar: bool = False
    reads_texts: bool = False
    """A model of tensors that a text fills."""
    source: Source | None = None

    @classmethod
    def of(
        cls,
        slug: str,
        optimize: Optimize,
        *,
        is_language_model: bool,
        has_tokenizer: bool,
        has_grammar: bool = False,
        reads_texts: bool = False,
        source: Source | None = None,
    ) -> Library:
        """`slug`: the model's name as it stands in paths."""
        name = slug.replace("-", "_")
        return cls(name, optimize, is_language_model, has_tokenizer, has_grammar, reads_texts, source)

    @property
    def prefix(self) -> str:
        """What every name of the interface begins with, and what the CMake target and the header are called."""
        return f"mcu_{self.name}"

    @property
    def functions(self) -> list[str]:
        """The interface, without what is there for caller's buffers only."""
        names = ["reset", "step"]
        names += (
            ["step_at", "room", "is_end", "sample", "choose"]
            if self.is_language_model
            else ["input", "output"]
        )
        names += ["encode", "decode"] if self.has_tokenizer else []
        names += ["input_text"] if self.reads_texts else []
        names += SOURCE_FUNCTIONS[self.source] if self.source else []
        names += [f"grammar_{name}" for name in GRAMMAR_FUNCTIONS] if self.has_grammar else []
        return [f"{self.prefix}_{name}" for name in names]

    @property
    def sections(self) -> dict[str, str]:
        """Input sections of this model alone, in those that any linker script has."""
        return {
            "weights": f".rodata.{self.prefix}.weights",
            "tokenizer": f".rodata.{self.prefix}.tokenizer",
            "arena": f".bss.{self.prefix}.arena",
            "kv_cache": f".bss.{self.prefix}.kv_cache",
        }

    @property
    def options(self) -> tuple[str, ...]:
        """The compiler's, before those that every source of the SDK gets. Whoever links an archive may know nothing of LTO,
        and a program's fast math is not ours."""
        return (flags.RELEASE[self.optimize][0], "-fno-lto", "-fno-fast-math")

    def renames(self, files: Iterable[str]) -> dict[str, str]:
        """What each name in the sources is called when it is linked. `files`: of firmware/, whose kernels are meant."""
        found = {
            "mcu_model_pte": f"{self.prefix}_pte",
            "mcu_tokenizer": f"{self.prefix}_tokenizer_tables",
            "mcu_tokenizer_present": f"{self.prefix}_tokenizer_present",
            "mcu_tokenizer_encode": f"{self.prefix}_encode",
            "mcu_tokenizer_encode_plain": f"{self.prefix}_encode_plain",
            "mcu_tokenizer_encode_texts": f"{self.prefix}_encode_texts",
            "mcu_tokenizer_decode": f"{self.prefix}_decode",
            "mcu_tokenizing": f"{self.prefix}_tokenizing",
            "text_inputs_fill": f"{self.prefix}_text_inputs_fill",
        }
        if self.source:
            found |= {name: f"{self.prefix}_{name}" for name in ENCODER_FUNCTIONS}
        if self.has_grammar:
            found |= {
                f"mcu_grammar_{name}": f"{self.prefix}_grammar_own_{name}" for name in GRAMMAR_FUNCTIONS
            }
            found["mcu_grammar"] = f"{self.prefix}_grammar_tables"
        headers = {name for name in closure(files) if name.endswith(".h")}
        hashes = {header: self._hash([header]) for header in headers}
        for name, declared in kernels().items():
            if declared.header in headers:
                found[f"mcu_{name}"] = f"mcu_{name}_{hashes[declared.header]}"
        if self.is_language_model:
            sampler = self._hash([SAMPLER])
            found |= {name: f"{name}_{sampler}" for name in SAMPLER_FUNCTIONS}
        return dict(sorted(found.items()))

    def _hash(self, files: Iterable[str]) -> str:
        """Of all that decides these files' machine code."""
        digest = sha256("\0".join([*self.options, *flags.CXX, str(flags.STANDARD)]).encode())
        for name in closure(files):
            digest.update(sha256(name.encode()).digest())
            digest.update(sha256((resources.firmware() / name).read_bytes()).digest())
        return digest.hexdigest()[:8]

    def to_template(self, files: Iterable[str], stack: int | None) -> dict[str, Any]:
        """What the templates see. `stack`: bytes that a call needs at most, None where it is not known."""
        return {
            "name": self.name,
            "prefix": self.prefix,
            "macro": self.prefix.upper(),
            "target": f"mcu::{self.name}",
            "functions": self.functions,
            "options": self.options,
            "renames": list(self.renames(files).items()),
            "stack": stack,
        }


def check_name(library: Library) -> None:
    """Raises UsageError for a model whose names are those of a kernel or of the tokenizer."""
    names = {f"mcu_{name}" for name in kernels()} | {"mcu_tokenizer", "mcu_grammar", *SAMPLER_FUNCTIONS}
    taken = names & {library.prefix, *library.functions}
    if taken:
        raise UsageError(
            f"A library of the name {library.name!r} would define {sorted(taken)[0]}, which mcu-sdk has already.",
            hint="Give the model another --name.",
        )


def library_prefix(project: Path) -> str | None:
    """What the names of a project's library begin with; None for a firmware."""
    found = sorted((project / "include").glob("mcu_*.h"))
    return found[0].stem if found and (project / MAIN).is_file() else None


def stated_stack(project: Path, prefix: str) -> int | None:
    """The bytes of stack that a library's header states."""
    text = (project / "include" / f"{prefix}.h").read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^#define {prefix.upper()}_STACK_BYTES (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def archive_sizes(map_file_text: str, prefix: str) -> dict[str, int]:
    """Bytes that an image has of the library's archive, by what they are: "weights", "tokenizer", "code", "arena",
    "kv_cache", "variables". `map_file_text`: of GNU ld (-Map)."""
    linked = map_file_text.partition("\nLinker script and memory map")[2]
    lines = re.sub(r"^( \.\S+)\n\s+", r"\1 ", linked, flags=re.MULTILINE)
    sizes = dict.fromkeys(("weights", "tokenizer", "code", "arena", "kv_cache", "variables"), 0)
    line = rf"^ (\.\S+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) \S*lib{re.escape(prefix)}\.a\("
    for section, size in re.findall(line, lines, re.MULTILINE):
        sizes[_kind(section, prefix)] += int(size, 16) if _is_in_image(section) else 0
    return sizes


def _kind(section: str, prefix: str) -> str:
    for kind in ("weights", "tokenizer", "arena", "kv_cache"):
        if section.endswith(f".{prefix}.{kind}"):
            return kind
    return "variables" if section.startswith((".data", ".bss")) else "code"


def _is_in_image(section: str) -> bool:
    return section.startswith((".text", ".rodata", ".data", ".bss", ".ARM.exidx", ".ARM.extab"))
