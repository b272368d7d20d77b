"""Calling a module without its keeping what it remembers from call to call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_memory(*modules: object) -> Iterator[None]:
    """Give the modules among `modules` their buffers back at the end: those that a step writes are as they were."""
    kept = [
        (buffer, buffer.clone())
        for module in modules
        if isinstance(module, torch.nn.Module)
        for buffer in module.buffers()
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
