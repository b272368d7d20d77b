"""A made-up model that remembers what it has read and talks noise, with a tokenizer and a chat template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcu_sdk.model.chat.compile import encode_plain
from mcu_sdk.model.chat.turns import Chat
from mcu_sdk.project.project_inputs import ProjectInputs
from tests.project.noise_plan import NoisePlan

LENGTH, END = 160, 0

_SEED = f"""const int64_t p = *position % {LENGTH + 1}, next = (p + 1) % {LENGTH + 1};
        state[next] = state[p] * 1664525u + static_cast<uint32_t>(*id) + 1013904223u;
        uint32_t x = state[next] | 1u;"""


def talker_plan(tiny: Any, unlikely: tuple[int, int] = (0, 0)) -> NoisePlan:
    """A plan whose logits are noise, of all tokens that it has read: each position of its cache has what those up to it are.
    `unlikely`: from which id up to which one it says none."""
    return NoisePlan(
        tiny,
        "const int64_t* id, const int64_t* position, uint32_t* state",
        _SEED,
        ("arena<int64_t>(0)", "arena<int64_t>(16)", "kv_cache<uint32_t>(0)"),
        {"kv_cache_bytes": 4 * (LENGTH + 1)},
        unlikely,
    )


@dataclass(frozen=True)
class Talker:
    """The project, built for the host, and what it was made from."""

    inputs: ProjectInputs
    project: Path
    chat: Chat
    tokenizer: Any

    def encode(self, text: str) -> list[int]:
        return encode_plain(self.tokenizer, text)
