"""How an `mcu::` operator is made known to torch: schema, out variant, shapes, and the reference that defines it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.library import Library, register_fake

library = Library("mcu", "DEF")


def define(
    arguments: str, outputs: tuple[str, ...], fake: Callable[..., Any], overload: str = ""
) -> Callable[..., Any]:
    """Decorate the reference of `name(arguments)`, whose name is the function's.

    The reference takes and returns torch tensors. `<name>.out` is defined beside it with one out tensor for each
    name in `outputs`, so that ExecuTorch's to-out-variant pass finds it; it computes the same and copies. With an
    `overload`, the function `name_overload` defines `name.overload`, and `name.overload_out` beside it.
    """

    def register(reference: Callable[..., Any]) -> Callable[..., Any]:
        base = reference.__name__.removesuffix(f"_{overload}" if overload else "")
        name, out_name = (
            (f"{base}.{overload}", f"{base}.{overload}_out") if overload else (base, f"{base}.out")
        )
        single = len(outputs) == 1
        returns = "Tensor" if single else "(" + ", ".join(f"Tensor {o}" for o in outputs) + ")"
        aliases = [f"Tensor({chr(97 + i)}!)" for i in range(len(outputs))]
        outs = ", ".join(f"{a} {o}" for a, o in zip(aliases, outputs, strict=True))
        out_returns = aliases[0] if single else "(" + ", ".join(aliases) + ")"
        library.define(f"{name}({arguments}) -> {returns}")
        library.define(f"{out_name}({arguments}, *, {outs}) -> {out_returns}")
        register_fake(f"mcu::{name}")(fake)
        library.impl(name, reference, "CompositeExplicitAutograd")

        def into(*inputs: Any, **keywords: Any) -> Any:
            destinations = [keywords.pop(o) for o in outputs]
            results = reference(*inputs, **keywords)
            for destination, result in zip(destinations, (results,) if single else results, strict=True):
                destination.copy_(result)
            return destinations[0] if single else tuple(destinations)

        library.impl(out_name, into, "CompositeExplicitAutograd")
        return reference

    return register


def define_in_place(arguments: str, fake: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the reference of an update `name(Tensor self, arguments) -> Tensor` that returns the new tensor.

    `<name>_` is defined beside it; it writes into `self`, and is what ExecuTorch's reinplace pass puts in.
    """

    def register(reference: Callable[..., Any]) -> Callable[..., Any]:
        name = reference.__name__
        define(f"Tensor self, {arguments}", ("out",), fake)(reference)
        library.define(f"{name}_(Tensor(a!) self, {arguments}) -> Tensor(a!)")
        register_fake(f"mcu::{name}_")(lambda self, *rest: self)

        def update(self: torch.Tensor, *rest: Any) -> torch.Tensor:
            return self.copy_(reference(self, *rest))

        library.impl(f"{name}_", update, "CompositeExplicitAutograd")
        return reference

    return register


def to_numpy(tensor: torch.Tensor) -> Any:
    """The tensor as a contiguous numpy array (float16 and integers included)."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


def to_torch(array: Any) -> torch.Tensor:
    """The array as a torch tensor of its own."""
    return torch.from_numpy(np.array(array, copy=True, order="C"))
