"""A made-up model that remembers what it has read and talks noise, with a tokenizer and a chat template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcu_sdk.model.chat.compile import encode_plain
from mcu_sdk.model.chat.turns import Chat
from mcu_sdk.project.render import ProjectInputs

VOCAB, LENGTH, END = 320, 160, 0

_KERNEL = """[](const int64_t* id, const int64_t* position, uint32_t* state, float* logits) {
        state[*position + 1] = state[*position] * 1664525u + static_cast<uint32_t>(*id) + 1013904223u;
        uint32_t x = state[*position + 1] | 1u;
        for (int32_t i = 0; i < %d; ++i) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            logits[i] = static_cast<float>(static_cast<int32_t>(x >> 8)) * 0x1p-22f - 2.0f;
        }
    }"""


@dataclass(frozen=True)
class TalkerPlan:
    """A plan whose logits are noise, of all tokens that it has read: each position of its cache has what those up to it are."""

    tiny: Any

    @property
    def sources(self) -> tuple[str, ...]:
        return ()

    @property
    def headers(self) -> tuple[str, ...]:
        return ()

    def to_template(self) -> dict[str, Any]:
        plan: dict[str, Any] = self.tiny.to_template()
        logits = {**plan["outputs"][0], "shape": [1, 1, VOCAB], "elements": VOCAB, "bytes": 4 * VOCAB}
        call = {
            **plan["calls"][1],
            "function": _KERNEL % VOCAB,
            "arguments": [
                "arena<int64_t>(0)",
                "arena<int64_t>(16)",
                "kv_cache<uint32_t>(0)",
                "arena<float>(64)",
            ],
        }
        size = 64 + 4 * VOCAB
        more = {"arena_bytes": size, "scratch_offset": size, "kv_cache_bytes": 4 * (LENGTH + 1)}
        return {**plan, "outputs": [logits], "calls": [call], **more}


@dataclass(frozen=True)
class Talker:
    """The project, built for the host, and what it was made from."""

    inputs: ProjectInputs
    project: Path
    chat: Chat
    tokenizer: Any

    def encode(self, text: str) -> list[int]:
        return encode_plain(self.tokenizer, text)
