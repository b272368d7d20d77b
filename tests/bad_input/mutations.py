"""Valid documents, damaged."""

from __future__ import annotations

import copy
import random
from typing import Any

JUNK: tuple[Any, ...] = (
    None,
    0,
    -1,
    2**40,
    1.5,
    "",
    "x y",
    [],
    [1],
    {},
    {"type": "BPE"},
    True,
    "\ud800",
    300,
)


def mutated(content: Any, seed: int) -> Any:
    """One to three values of a JSON document replaced, removed or doubled."""
    rng = random.Random(seed)
    content = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        parent, key, node = None, None, content
        for _ in range(rng.randint(1, 5)):
            keys = (
                list(node)
                if isinstance(node, dict)
                else list(range(len(node)))
                if isinstance(node, list)
                else []
            )
            if not keys:
                break
            parent, key = node, rng.choice(keys)
            node = parent[key]
        if parent is None:
            continue
        action = rng.random()
        if action < 0.2:
            del parent[key]
        elif action < 0.3 and isinstance(parent, list):
            parent.append(node)
        else:
            parent[key] = rng.choice(JUNK)
    return content
