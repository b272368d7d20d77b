"""A row of the table: what is known of one operator, and how ExecuTorch's runtime calls its kernel.

What the emitters (planning/emitters/) decide when a plan is compiled, wrappers that are generated from a row's `call`
(project/wrappers.py) decide at run time, for any file. One line each:

    name types axes       a tensor. Types: s8 s16 s32 s64 u8 f16 f32, joined by |; `?` behind: it may be absent, and binds no name; `@16`:
                          its address is a multiple of 16. Axes: [a, b, 1] with names that are bound where they are
                          new, and numbers or expressions that are compared; [*rows, n] where `rows` is the product of
                          all axes but the last; (count) for elements in any shape. None: only the type is checked.
    any order [but name]  its tensors are walked over side by side: they may all have one other dim order.
    orders name ...       tensors in any dim order, at which a condition looks.
    image name ...        tensors [batch, channels, height, width] with channels last in memory; their axes are those there.
    unused name           an argument that is not looked at.
    only name value       a number that has to be this one; `only name none`: an argument that has to be absent.
    alike name ...        tensors that have one type.
    same name ...         inputs that the first output may be, byte for byte; it shares memory with no other one.
    copied name           an input that is copied to the output first; the in-place form writes into it.
    let name = expression
    declare Type name     a struct that a condition fills; calls take its address.
    require condition
    first kernel(arguments)     called before that.
    call kernel(arguments) [if condition]     the first one that applies. `scratch(bytes)` is temporary memory,
                          `sums(given, weight, bias, offset)` those or bias + offset * sum(weight) for each output.

Expressions are C++ over int64_t; firmware/operators/arguments.h has the functions that they use. A tensor's name is its
address in a call, and has .count, .rank and .size(axis) elsewhere.

Of an operator that ExecuTorch's own libraries have too, ours stands in the place of theirs in a file all of whose calls of it
are such as the lines say by tensors, `any order`, `only` and `alike` (project/instead.py); what they `require` beside that is
what the emitter asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from mcu_sdk.operators.layouts import WeightLayout

OWN = "mcu"
"""The namespace of our operators."""
LIBRARIES = ("aten", "quantized_decomposed")
"""Namespaces of what ExecuTorch's own kernel libraries register."""


class Work(Enum):
    """What an operator's arithmetic is counted by (planning/ideal.py)."""

    PRODUCT = "rows of the input times the rows of a weight"
    CONVOLUTION = "windows of the input times a filter for each output"
    DEPTHWISE = "windows of one channel of the input times its own filter"
    BATCHED = "products of two activations"
    ATTENTION = "products with the cache so far, and a softmax for each head"
    SEQUENCE = "products of every query with every key, and a softmax for each query and head"
    RECURRENT = "at each step the step's input and the state times a weight each"
    STREAM = "every byte once, and some instructions for each vector of results"
    UNKNOWN = "as of an operator without a row"


@dataclass(frozen=True)
class Operator:
    """A row. Arguments are named as in the schema.

    `arguments` is the schema between the parentheses, `outputs` the names of the results. `in_place`: a form whose
    name ends in `_` writes into the first argument. `weight`: the argument with the weights, `weight_bits` what one
    takes when it is quantized; `channels`: the arguments with a value for each of its rows. `layout`: how the weight
    has to lie; `packed`: the overload that takes it in the other layout.
    `caches`: arguments that live from step to step, and the axis of their positions. `one_of`: arguments of which a
    step reads or writes only what one index of an axis selects, and that axis; as many as `index` has elements.
    `every_step`: arguments that are read once for each step, along axis 1 of the first argument.
    `border`: it only makes integers of floats, or floats of integers, as around a delegate.
    `work` and `arithmetic` (vector instructions for 16 bytes of results) make the bound of its cost; `input` is what
    the weight multiplies.
    `call`: what a wrapper for ExecuTorch's runtime checks and calls, in the lines above; "" where it has none of ours.
    `out_overload`: of the out variant, where PyTorch's rule for names does not give it.
    """

    name: str
    arguments: str
    outputs: tuple[str, ...] = ("out",)
    in_place: bool = False
    weight: str = ""
    weight_bits: int = 0
    channels: tuple[str, ...] = ()
    layout: WeightLayout = "rows"
    packed: str = ""
    caches: Mapping[str, int] = field(default_factory=dict)
    one_of: Mapping[str, int] = field(default_factory=dict)
    index: str = ""
    every_step: tuple[str, ...] = ()
    work: Work = Work.STREAM
    arithmetic: int = 1
    input: str = ""
    border: bool = False
    call: str = ""
    out_overload: str = ""

    @property
    def argument_names(self) -> tuple[str, ...]:
        """The names of the arguments, in order."""
        parts = [part.strip() for part in self.arguments.split(",")]
        return tuple(part.split()[-1].partition("=")[0] for part in parts if part != "*")

    def position(self, argument: str) -> int:
        """The index of an argument in the schema."""
        return self.argument_names.index(argument)

    @property
    def input_position(self) -> int:
        """The index of what the weight multiplies; the first argument, unless the row names another."""
        return self.position(self.input) if self.input else 0

    @property
    def plain_name(self) -> str:
        """The name without the namespace."""
        return self.name.partition("::")[2]

    @property
    def out_name(self) -> str:
        """The out variant, without the namespace: "rope.out", "linear_s8.packed_out"."""
        if self.out_overload:
            return f"{self.plain_name.partition('.')[0]}.{self.out_overload}"
        return f"{self.plain_name}_out" if "." in self.plain_name else f"{self.plain_name}.out"

    @property
    def in_place_name(self) -> str:
        """The in-place form, without the namespace: "lookup_s8_", "linear_s8_add_s16_.packed"."""
        name, dot, overload = self.plain_name.partition(".")
        return f"{name}_{dot}{overload}"

    @property
    def is_ours(self) -> bool:
        """Whether this SDK defines the operator."""
        return self.name.partition("::")[0] == OWN

    @property
    def is_of_libraries(self) -> bool:
        """Whether ExecuTorch's own kernel libraries have it, too."""
        return self.name.partition("::")[0] in LIBRARIES
