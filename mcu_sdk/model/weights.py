"""Whether what a checkpoint stores is what the model computes with: nothing missing, nothing left over, all finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError
from mcu_sdk.model.stored import Stored, Tensor

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HEADS = (("pooler",), ("cls", "seq_relationship"))
"""Heads of an encoder that read its last hidden state and feed no other: where the class has none, nothing misses it."""

NEXT_SENTENCE_LABELS = 2


@dataclass
class Keys:
    """What transformers found missing and left over, before it takes out what its classes say to overlook."""

    missing: set[str] = field(default_factory=set)
    unexpected: set[str] = field(default_factory=set)
    mismatched: list[tuple[str, str]] = field(default_factory=list)  # the key, and what its shapes are


@contextmanager
def all_keys(keys: Keys) -> Iterator[None]:
    """Collects in `keys` what is said by the `from_pretrained` inside: its own report leaves out what matches patterns of names."""
    from transformers import PreTrainedModel

    original: Any = PreTrainedModel._adjust_missing_and_unexpected_keys

    def recording(model: PreTrainedModel, loading_info: Any) -> None:
        keys.missing |= set(loading_info.missing_keys)
        keys.unexpected |= set(loading_info.unexpected_keys)
        for key, found, expected in sorted(loading_info.mismatched_keys):
            keys.mismatched.append((key, f"{list(found)}, not {list(expected)}"))
        original(model, loading_info)

    adjust: Any = recording
    PreTrainedModel._adjust_missing_and_unexpected_keys = adjust  # type: ignore[method-assign]
    try:
        yield
    finally:
        PreTrainedModel._adjust_missing_and_unexpected_keys = original  # type: ignore[method-assign]


def check_weights(name: str, model: PreTrainedModel, keys: Keys, stored: Stored) -> None:
    """Raises ModelError for weights that are missing, that the configuration does not know, or that are not finite."""
    import torch

    trained = {n for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    persistent = set(model.state_dict())
    missing = sorted(key for key in keys.missing if key in trained or _counts(key, model, persistent))
    if missing:
        computed = _computed(model)
        missing = [key for key in missing if key not in computed]
    if missing:
        raise ModelError(
            f"The checkpoint {name} lacks {len(missing)} of the weights its configuration asks for, such as "
            f"{missing[0]}.",
            hint="The checkpoint may be incomplete, or of another model than config.json says; fetch or save it again.",
        )
    left = sorted(key for key in keys.unexpected if not _harmless(key, model, stored))
    if left:
        shown = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
        raise ModelError(
            f"The checkpoint {name} holds {len(left)} weights that a {type(model).__name__} as config.json describes it "
            f"does not have: {shown}. Without them it would be another model.",
            hint="Check config.json against them (number of layers, biases, architecture), or remove them from the file "
            "if they belong to something else.",
        )
    broken = next((n for n, p in model.named_parameters() if not torch.isfinite(p).all()), None)
    if broken is not None:
        raise ModelError(
            f"Finite weights were expected; {broken} of {name} holds infinities or NaNs.",
            hint="The checkpoint is damaged, or was saved in a type too narrow for it.",
        )


def _counts(key: str, model: PreTrainedModel, persistent: set[str]) -> bool:
    """Whether a missing key that is no trained parameter is missed: transformers' classes name the buffers that they fill."""
    return key in persistent and not _is_overlooked(key, model)


def _is_overlooked(key: str, model: PreTrainedModel) -> bool:
    import re

    return any(re.search(pattern, key) for pattern in model._keys_to_ignore_on_load_missing or ())


def _computed(model: PreTrainedModel) -> set[str]:
    """The parameters that no checkpoint has to store, since the class makes them itself and training leaves them alone, as
    Marian's sinusoidal positions: it names them, and they are frozen from the beginning (which what was loaded does not
    show any more)."""
    import torch

    with torch.device("meta"):
        fresh = type(model)(model.config)
    return {
        name
        for name, parameter in fresh.named_parameters(remove_duplicate=False)
        if not parameter.requires_grad and _is_overlooked(name, model)
    }


# ---- what is left over, and harmless


def _harmless(key: str, model: PreTrainedModel, stored: Stored) -> bool:
    """Whether the model loses nothing without the stored tensor `key`: shown by its values, not by its name alone."""
    found = _find(key, stored)
    if found is None:
        return False
    if _is_unused_head(key, model, found):
        return True
    value = _read(*found)
    return (
        _is_causal_mask(key, value, model)
        or _is_mask_value(key, value)
        or _is_count(value)
        or _is_known(key, value, model)
    )


def _find(key: str, stored: Stored) -> tuple[str, Tensor] | None:
    """The stored tensor that transformers calls `key`: it may have put the model's prefix before it, or taken it off."""
    if key in stored.tensors:
        return key, stored.tensors[key]
    near = [k for k in stored.tensors if key.endswith(f".{k}") or k.endswith(f".{key}")]
    return (near[0], stored.tensors[near[0]]) if len(near) == 1 else None


def _read(key: str, tensor: Tensor) -> torch.Tensor:
    from safetensors import safe_open

    with safe_open(tensor.file, "pt") as file:
        value: torch.Tensor = file.get_tensor(key)
        return value


def _is_causal_mask(key: str, value: torch.Tensor, model: PreTrainedModel) -> bool:
    """`attn.bias` of GPT-2 and its kin: ones up to the diagonal, or a window of them. Shape [1, 1, n, n]."""
    import torch

    if not key.endswith("bias") or value.ndim != 4 or value.shape[:2] != (1, 1):
        return False
    mask = value[0, 0].float()
    if mask.shape[0] != mask.shape[1]:
        return False
    causal = torch.ones_like(mask).tril()
    window = getattr(model.config, "window_size", None)
    windows = [causal] if not isinstance(window, int) else [causal, causal - causal.tril(-window)]
    return any(torch.equal(mask, expected) for expected in windows)


def _is_mask_value(key: str, value: torch.Tensor) -> bool:
    """`attn.masked_bias`: what older code put in place of a masked score; any number that softmax makes 0 of."""
    return key.endswith("masked_bias") and value.numel() == 1 and float(value) <= -1e4


def _is_count(value: torch.Tensor) -> bool:
    """`position_ids`: 0, 1, 2, ... Shape [1, n] or [n]."""
    import torch

    flat = value.flatten()
    integers = not value.is_floating_point() and value.dtype is not torch.bool
    return integers and flat.numel() > 1 and torch.equal(flat.long(), torch.arange(flat.numel()))


def _is_known(key: str, value: torch.Tensor, model: PreTrainedModel) -> bool:
    """A copy of a weight under another name (a tied embedding), or a buffer as the model makes it (`inv_freq`).

    A copy has to be equal; a buffer may have been rounded to 16 bits when it was saved.
    """
    import torch

    value = value.float()
    for _, parameter in model.named_parameters():
        if parameter.shape == value.shape and value.numel() > 1 and torch.equal(parameter.float(), value):
            return True
    last = key.rsplit(".", 1)[-1]
    return any(
        name.rsplit(".", 1)[-1] == last
        and buffer.shape == value.shape
        and torch.allclose(buffer.float(), value, rtol=0.01, atol=1e-6)
        for name, buffer in model.named_buffers()
    )


def _is_unused_head(key: str, model: PreTrainedModel, found: tuple[str, Tensor]) -> bool:
    """Whether `key` is of a head that an encoder's class has not, and that nothing behind it reads."""
    path = tuple(key.split(".")[:-1])
    hidden = getattr(model.config, "hidden_size", None)
    for head in HEADS:
        at = next((i for i in range(len(path)) if path[i : i + len(head)] == head), None)
        if at is None or any(part.isdigit() for part in path):
            continue
        module: Any = model
        for part in path[: at + len(head)]:
            module = getattr(module, part, None)
        rows = found[1].shape[0] if found[1].shape else None
        if module is None and rows in (hidden, NEXT_SENTENCE_LABELS):
            return True
    return False
