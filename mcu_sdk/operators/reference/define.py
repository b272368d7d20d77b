"""How an `mcu::` operator is made known to torch: its row's schema, out variant, shapes, and the reference that defines it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.library import Library, register_fake

from mcu_sdk.operators.table import OPERATORS, OWN, Operator

library = Library(OWN, "DEF")
_DISPATCH_KEY = "CompositeExplicitAutograd"


def define(name: str, fake: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the reference of an operator, whose schema is its row in operators/table ("linear_s8.packed").

    The reference takes and returns torch tensors; `fake` gives tensors of the same shapes. `<name>.out` is defined
    beside it with one out tensor for each of the row's outputs (`<name>_out` for an overload), so that ExecuTorch's
    to-out-variant pass finds it; it computes the same and copies. Where the row says so, so is `<name>_`, which writes
    into the first argument, and is what ExecuTorch's reinplace pass puts in.
    """
    row = OPERATORS[f"{OWN}::{name}"]

    def register(reference: Callable[..., Any]) -> Callable[..., Any]:
        single = len(row.outputs) == 1
        returns = "Tensor" if single else "(" + ", ".join(f"Tensor {o}" for o in row.outputs) + ")"
        library.define(f"{name}({row.arguments}) -> {returns}")
        register_fake(row.name)(fake)
        library.impl(name, reference, _DISPATCH_KEY)
        _define_out(row, reference)
        if row.in_place:
            _define_in_place(row, reference)
        return reference

    return register


def _define_out(row: Operator, reference: Callable[..., Any]) -> None:
    single = len(row.outputs) == 1
    aliases = [f"Tensor({chr(97 + i)}!)" for i in range(len(row.outputs))]
    outs = ", ".join(f"{a} {o}" for a, o in zip(aliases, row.outputs, strict=True))
    returns = aliases[0] if single else "(" + ", ".join(aliases) + ")"
    library.define(f"{row.out_name}({row.arguments}, *, {outs}) -> {returns}")

    def into(*inputs: Any, **keywords: Any) -> Any:
        destinations = [keywords.pop(o) for o in row.outputs]
        results = reference(*inputs, **keywords)
        for destination, result in zip(destinations, (results,) if single else results, strict=True):
            destination.copy_(result)
        return destinations[0] if single else tuple(destinations)

    library.impl(row.out_name, into, _DISPATCH_KEY)


def _define_in_place(row: Operator, reference: Callable[..., Any]) -> None:
    name = row.in_place_name
    first, _, rest = row.arguments.partition(",")
    library.define(f"{name}({first.replace('Tensor', 'Tensor(a!)')},{rest}) -> Tensor(a!)")
    register_fake(f"{OWN}::{name}")(lambda self, *rest: self)

    def update(self: torch.Tensor, *rest: Any) -> torch.Tensor:
        return self.copy_(reference(self, *rest))

    library.impl(name, update, _DISPATCH_KEY)


def to_numpy(tensor: torch.Tensor) -> Any:
    """The tensor as a contiguous numpy array (float16 and integers included)."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


def to_torch(array: Any) -> torch.Tensor:
    """The array as a torch tensor of its own."""
    return torch.from_numpy(np.array(array, copy=True, order="C"))
