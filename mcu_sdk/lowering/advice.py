"""What is said in more than one refusal."""

from __future__ import annotations

ELSEWHERE = (
    "Use a decoder-only language model with a standard key/value cache (docs/support.md lists what works), "
    "or lower the model yourself and pass the result with --pte."
)
"""What to try where a class of transformers does not go together with a static cache."""
