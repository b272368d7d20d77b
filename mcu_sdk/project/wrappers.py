"""From what a row of operators/table says of an operator to the C++ that checks its arguments and calls its kernel.

A wrapper has the form of ExecuTorch's kernel registry, (KernelRuntimeContext&, Span<EValue*>). Everything is decided
here; templates/executorch/operators.cpp.j2 only prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mcu_sdk.operators.table import Operator, called_operators
from mcu_sdk.planning.kernel_files import kernel

_C_TYPES = {
    "u8": "uint8_t",
    "s8": "int8_t",
    "s16": "int16_t",
    "s32": "int32_t",
    "s64": "int64_t",
    "f16": "uint16_t",
    "f32": "float",
}
_NAME = re.compile(r"[a-z]\w*")
_TENSOR = re.compile(
    r"(?P<name>\w+) (?P<types>(?:[usf]\d+\|?)+)(?P<optional>\?)?(?P<aligned>@16)?(?P<axes>[\[(].*[\])])?"
)
_READERS = {
    "int": "int64_t {} = arguments.integer({})",
    "ScalarType": "int64_t {} = arguments.integer({})",
    "float": "double {} = arguments.number({})",
    "Scalar": "double {} = arguments.number({})",
    "bool": "bool {} = arguments.boolean({})",
    "int[]": "Integers {} = arguments.integers({})",
    "int[]?": "Integers {} = arguments.optional_integers({})",
    "str": "Text {} = arguments.text({})",
}


@dataclass(frozen=True)
class KernelChoice:
    """A kernel, under a condition ("" for always). `before` are lines that make what its arguments need."""

    condition: str
    before: tuple[str, ...]
    function: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Wrapper:
    """One form of an operator. `name` as the registry knows it ("mcu::linear_s8.packed_out"), `function` its C++ name;
    `is_of_libraries`: ExecuTorch's own libraries have it, too.

    `schema` is a comment; `count` arguments are read by the lines `reads`; `checks` are lines that bind sizes and refuse
    what does not fit; `copied`: the input whose bytes are copied to the first output.
    """

    name: str
    function: str
    schema: str
    is_of_libraries: bool
    count: int
    reads: tuple[str, ...]
    checks: tuple[str, ...]
    copied: str
    output: str
    first: tuple[KernelChoice, ...]
    calls: tuple[KernelChoice, ...]
    headers: tuple[str, ...]


@dataclass
class TensorText:
    """A tensor's line."""

    name: str
    types: tuple[str, ...]
    optional: bool
    aligned: bool
    axes: str

    @property
    def pointer(self) -> str:
        if len(self.types) != 1:
            raise ValueError(f"{self.name} has {len(self.types)} types: say which a kernel takes")
        return f"{self.name}.as<{_C_TYPES[self.types[0]]}>()"


@dataclass
class CallText:
    """An operator's lines, sorted."""

    operator: Operator
    tensors: dict[str, TensorText] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    copied: str = ""
    calls: list[str] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)
    walked: bool = False
    apart: str = ""
    unused: set[str] = field(default_factory=set)
    only: dict[str, str] = field(default_factory=dict)
    alike: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    first: list[str] = field(default_factory=list)


def wrappers(operator: Operator) -> list[Wrapper]:
    """The forms of one of our operators: its out variant and, where there is one, the form that writes in place.

    Raises ValueError for a row whose `call` says something else than the schema or the kernel's header.
    """
    text = read_call(operator)
    forms = [_wrapper(text, in_place=False)]
    return [*forms, _wrapper(text, in_place=True)] if operator.in_place else forms


def registered_names() -> dict[str, Operator]:
    """Every name under which an operator of the library can be registered, with its row."""
    return {name: row for row in called_operators().values() for name in names_of(row)}


def names_of(operator: Operator) -> list[str]:
    """The names of an operator's forms in a .pte: "mcu::lookup_s8.out", "mcu::lookup_s8_"."""
    namespace = operator.name.partition("::")[0]
    names = [f"{namespace}::{operator.out_name}"]
    return [*names, f"{namespace}::{operator.in_place_name}"] if operator.in_place else names


def read_call(operator: Operator) -> CallText:
    """The lines of a row's `call`. Raises ValueError for one that is none of operators/table/row.py."""
    text = CallText(operator)
    for line in filter(None, map(str.strip, operator.call.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "same":
            text.same += rest.split()
        elif word == "copied":
            text.copied = rest
        elif line.startswith("any order"):
            text.walked, text.apart = True, line.removeprefix("any order").removeprefix(" but ")
        elif word == "unused":
            text.unused.add(rest)
        elif word == "only":
            name, _, value = rest.partition(" ")
            text.only[name] = value
        elif word == "alike":
            text.alike = tuple(rest.split())
        elif word == "orders":
            text.orders = tuple(rest.split())
        elif word == "image":
            text.images = tuple(rest.split())
        elif word == "first":
            text.first.append(rest)
        elif word == "call":
            text.calls.append(rest)
        elif word in ("let", "require", "declare"):
            text.steps.append((word, rest))
            if word == "declare":
                text.declared.add(rest.split()[-1])
        elif match := _TENSOR.fullmatch(line):
            types = tuple(match["types"].split("|"))
            tensor = TensorText(
                word, types, bool(match["optional"]), bool(match["aligned"]), match["axes"] or ""
            )
            text.tensors[word] = tensor
            text.steps.append(("tensor", word))
        else:
            raise ValueError(f"{operator.name}: {line!r} is none of the lines of operators/table/row.py")
    return text


def _wrapper(text: CallText, *, in_place: bool) -> Wrapper:
    operator = text.operator
    name = names_of(operator)[1 if in_place else 0]
    plain = re.sub(r"\W+", "_", name if operator.is_of_libraries else name.partition("::")[2])
    reads = list(_reads(text, in_place=in_place))
    made = [_call(text, line) for line in (*text.first, *text.calls)]
    calls, headers = zip(*made, strict=True)
    before = len(text.first)
    return Wrapper(
        name=name,
        function=plain.rstrip("_") + ("_in_place" if in_place else ""),
        schema=f"{name}({operator.arguments})",
        is_of_libraries=operator.is_of_libraries,
        count=len(operator.argument_names) + (0 if in_place else len(operator.outputs)),
        reads=tuple(reads),
        checks=(*_checks(text), *_memory(text, in_place=in_place)),
        copied="" if in_place else text.copied,
        output=operator.outputs[0],
        first=calls[:before],
        calls=calls[before:],
        headers=tuple(sorted(set(headers))),
    )


def _reads(text: CallText, *, in_place: bool) -> Iterator[str]:
    operator = text.operator
    for index, (kind, name) in enumerate(_typed(operator.arguments)):
        if name in text.unused:
            continue
        if name in text.only:
            value = text.only[name]
            yield f"arguments.absent({index});" if value == "none" else f"arguments.only({index}, {value});"
        elif kind.startswith("Tensor"):
            yield _tensor_read(text, name, index, optional=kind.endswith("?"))
        else:
            yield "[[maybe_unused]] const " + _READERS[kind].format(name, index) + ";"
    for index, name in enumerate(operator.outputs, len(operator.argument_names)):
        if in_place:
            yield f"const Operand {name} = {operator.argument_names[0]};"
        else:
            yield _tensor_read(text, name, index, optional=False)


def _typed(arguments: str) -> list[tuple[str, str]]:
    """(type, name) of each argument of a schema."""
    parts = [part.strip().partition("=")[0] for part in arguments.split(",")]
    return [(part.rpartition(" ")[0], part.rpartition(" ")[2]) for part in parts if part != "*"]


def _tensor_read(text: CallText, name: str, index: int, *, optional: bool) -> str:
    tensor = text.tensors.get(name)
    if tensor is None or tensor.optional != optional:
        raise ValueError(f"{text.operator.name}: its call does not say of {name} what the schema does")
    types = " | ".join(f"k{kind.upper()}" for kind in tensor.types)
    reader = "optional_tensor" if optional else "image" if name in text.images else "tensor"
    if name in text.orders or (text.walked and name != text.apart):
        reader = "walked_tensor"
    return f"const Operand {name} = arguments.{reader}({index}, {types});"


def _checks(text: CallText) -> Iterator[str]:
    if text.walked:
        first, *others = (name for name in text.tensors if name != text.apart)
        same = " && ".join(f"{first}.lies_as({name})" for name in others)
        yield _refuse(f"!({same})", "its tensors have different dim orders")
    if text.alike:
        first, *others = text.alike
        same = " && ".join(f"{first}.type == {name}.type" for name in others)
        yield _refuse(f"!({same})", "its tensors have different types")
    scalars = [n for kind, n in _typed(text.operator.arguments) if not kind.startswith("Tensor")]
    known = {*scalars, *text.tensors}
    for word, rest in text.steps:
        if word == "let":
            name, _, value = rest.partition(" = ")
            known.add(name)
            yield f"[[maybe_unused]] const int64_t {name} = {value};"
        elif word == "declare":
            yield f"{rest} = {{}};"
        elif word == "require":
            yield _refuse(f"!({rest})", rest)
        else:
            sized = len(known)
            yield from _tensor_checks(text.tensors[rest], known)
            if text.tensors[rest].optional and len(known) > sized:
                raise ValueError(f"{text.operator.name}: {rest} may be absent, and no size can come from it")


def _tensor_checks(tensor: TensorText, known: set[str]) -> Iterator[str]:
    name, conditions = tensor.name, []
    if tensor.axes:
        axes = parts_of(tensor.axes[1:-1])
        if tensor.axes.startswith("("):
            yield from _bind(axes[0], f"{name}.count", known)
            conditions.append(f"{name}.count == {axes[0]}")
        elif axes[0].startswith("*"):
            yield from _bind(axes[0][1:], f"{name}.rows()", known)
            yield from _bind(axes[1], f"{name}.last()", known)
            rows, n = axes[0][1:], axes[1]
            conditions.append(f"{name}.rank > 0 && {name}.last() == {n} && {name}.rows() == {rows}")
        else:
            for axis, size in enumerate(axes):
                yield from _bind(size, f"{name}.size({axis})", known)
            conditions.append(f"{name}.is({{{', '.join(axes)}}})")
    if tensor.aligned:
        conditions.append(f"{name}.is_aligned()")
    if conditions:
        wrong = " && ".join(conditions)
        wrong = f"{name}.present && !({wrong})" if tensor.optional else f"!({wrong})"
        yield _refuse(wrong, f"{name} is not {tensor.axes}{', 16-aligned' if tensor.aligned else ''}")


def _bind(size: str, value: str, known: set[str]) -> Iterator[str]:
    """Define a size where it is a name that is new."""
    if _NAME.fullmatch(size) and size not in known:
        known.add(size)
        yield f"[[maybe_unused]] const int64_t {size} = {value};"


def _memory(text: CallText, *, in_place: bool) -> Iterator[str]:
    """Outputs share no memory with anything, but the first one with what it may be."""
    operator = text.operator
    typed = _typed(operator.arguments)
    left_out = {*text.unused, *text.only}
    inputs = [n for kind, n in typed if kind.startswith("Tensor") and n not in left_out]
    allowed = {*text.same, text.copied}
    for number, out in enumerate(operator.outputs):
        others = [*inputs, *operator.outputs[number + 1 :]]
        if in_place:
            others.remove(operator.argument_names[0])
        may_be = [name for name in others if number == 0 and name in allowed]
        parts = [f"{out}.overlaps({name})" for name in others if name not in may_be]
        parts += [f"({out}.overlaps({name}) && !{out}.is_at({name}))" for name in may_be]
        yield _refuse(" || ".join(parts), f"{out} shares memory with another argument")


def _refuse(condition: str, what: str) -> str:
    return f'if ({condition}) return arguments.refuse(MCU_TEXT("{what}"));'


def _call(text: CallText, line: str) -> tuple[KernelChoice, str]:
    """The choice that a call's line means, and the header that declares its kernel."""
    name, _, rest = line.partition("(")
    end = _closing(rest)
    condition = rest[end + 1 :].strip().removeprefix("if ")
    before: list[str] = []
    arguments = tuple(_argument(text, part, before) for part in parts_of(rest[:end]))
    declared = kernel(name)
    if len(arguments) != len(declared.parameters):
        raise ValueError(
            f"{text.operator.name}: {len(arguments)} arguments for mcu_{name}({', '.join(declared.parameters)})"
        )
    return KernelChoice(condition, tuple(before), f"mcu_{name}", arguments), declared.header


def _argument(text: CallText, part: str, before: list[str]) -> str:
    if part in text.tensors:
        return text.tensors[part].pointer
    if part in text.declared:
        return f"&{part}"
    if ".as<" in part:
        return part
    if part.startswith("scratch("):
        before.append(f"void* const memory = arguments.{part};")
        before.append("if (memory == nullptr) return;")
        return "memory"
    if part.startswith("sums("):
        before.append(f"const int32_t* const addend = arguments.{part};")
        before.append("if (addend == nullptr) return;")
        return "addend"
    if part.split(".")[0] in text.declared:
        return part
    if part.startswith("Mcu"):
        struct, _, fields = part.partition("{")
        narrowed = ", ".join(f"narrow({value})" for value in parts_of(fields.removesuffix("}")))
        return f"address({struct}{{{narrowed}}})"
    return f"narrow({part})"


def _closing(text: str) -> int:
    """Where the parenthesis ends that was opened before `text`."""
    depth = 1
    for index, character in enumerate(text):
        depth += (character in "({[") - (character in ")}]")
        if depth == 0:
            return index
    raise ValueError(f"{text!r} has no end")


def parts_of(text: str) -> list[str]:
    """The parts between the commas that are in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def all_wrappers(operators: Iterable[Operator]) -> list[Wrapper]:
    """The wrappers of several operators in the order of their names."""
    found = (wrapper for operator in operators for wrapper in wrappers(operator))
    return sorted(found, key=lambda wrapper: wrapper.name)
