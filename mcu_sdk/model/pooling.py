"""The head of a sentence-transformers folder: from a hidden state for each token to one vector for the text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import ModelError

if TYPE_CHECKING:
    import torch

MODULES = "modules.json"

MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The switches of a pooling's configuration, and what newer versions call the same in `pooling_mode`."""

KNOWN = ("cls", "mean")

HINT = "Remove modules.json from the folder for the hidden states alone, or lower the whole with mcu_sdk.compile_module."


@dataclass(frozen=True)
class Pooling:
    """`mode`: "cls" (the first token's vector) or "mean" (over the tokens that count); `normalize`: to length 1."""

    mode: str
    normalize: bool

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """hidden float32[1, L, C], mask int64[1, L] (None: every token counts) -> float32[1, C]."""
        import torch

        if self.mode == "cls":
            vector = hidden[:, 0]
        elif mask is None:
            vector = hidden.mean(1)
        else:
            counts = mask.unsqueeze(-1).to(hidden.dtype)
            vector = (hidden * counts).sum(1) / counts.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(vector, dim=-1) if self.normalize else vector


def read_pooling(folder: Path, name: str) -> Pooling | None:
    """What modules.json of the checkpoint `name` puts behind the model; None without such a file.

    Raises ModelError for a module, or a way to pool, that is not known: without it the vectors would be others.
    """
    path = folder / MODULES
    if not path.is_file():
        return None
    modules = _json(path)
    types = [
        str(module.get("type", "")).rpartition(".")[2]
        for module in (modules if isinstance(modules, list) else [])
        if isinstance(module, dict)
    ]
    if types not in (["Transformer"], ["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ModelError(
            f"{MODULES} of {name} was expected to list a Transformer, a Pooling and at most a Normalize; it lists "
            f"{', '.join(types) or 'none'}.",
            hint=HINT,
        )
    if len(types) == 1:
        return None
    mode = _mode(name, _json(folder / str(modules[1].get("path", "")) / "config.json"))
    return Pooling(mode, len(types) == 3)


def pooling_files(folder: Path) -> list[Path]:
    """The files below a checkpoint's folder that decide what `read_pooling` finds there."""
    return sorted(folder.glob("*/config.json")) if (folder / MODULES).is_file() else []


def _mode(name: str, config: Any) -> str:
    config = config if isinstance(config, dict) else {}
    modes = [mode for key, mode in MODES.items() if config.get(key)] or [str(config.get("pooling_mode"))]
    if len(modes) != 1 or modes[0] not in KNOWN:
        raise ModelError(
            f"The pooling of {name} was expected to be one of {', '.join(KNOWN)}; it is {' and '.join(modes)}.",
            hint=HINT,
        )
    return modes[0]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} was expected to be JSON; it could not be read: {error}.",
            hint="Fetch or save the checkpoint again, with the folders inside.",
        ) from error
