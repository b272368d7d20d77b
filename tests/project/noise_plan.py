"""A plan of one made-up kernel whose logits are noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VOCAB = 320

_KERNEL = """[](%s, float* logits) {
        %s
        for (int32_t i = 0; i < %d; ++i) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            logits[i] = static_cast<float>(static_cast<int32_t>(x >> 8)) * 0x1p-22f - 2.0f;
            if (i >= %d && i < %d) logits[i] = -99.0f;
        }
    }"""


@dataclass(frozen=True)
class NoisePlan:
    """`parameters` of the kernel and the `arguments` for them are those before the logits, float[VOCAB]; `seed` is C++ that
    makes a uint32_t x of them. `more` is what the plan has otherwise than `tiny`, beside its arena. Ids from the first of `unlikely` up to the
    second are not chosen."""

    tiny: Any
    parameters: str
    seed: str
    arguments: tuple[str, ...]
    more: Mapping[str, int] = field(default_factory=dict)
    unlikely: tuple[int, int] = (0, 0)

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
            "function": _KERNEL % (self.parameters, self.seed, VOCAB, *self.unlikely),
            "arguments": [*self.arguments, "arena<float>(64)"],
        }
        size = 64 + 4 * VOCAB
        own = {"arena_bytes": size, "scratch_offset": size, **self.more}
        return {**plan, "outputs": [logits], "calls": [call], **own}
