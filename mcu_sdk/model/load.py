"""Where a checkpoint comes from: a local folder, a hub id, or the package itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk import resources
from mcu_sdk.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
LONGEST_HUB_ID = 96
"""Characters, by the hub's own rule."""

WANTED_FROM_HUB = ["*.safetensors", "*.json", "*.txt", "*.model"]


@dataclass(frozen=True)
class Checkpoint:
    """A folder in the Hugging Face format. `name` is for people and slugs; it is never used as a path."""

    folder: Path
    name: str

    def fingerprint(self) -> str:
        """SHA-256 over the names and contents of the files that decide what is generated."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.suffix in {".json", ".safetensors", ".txt", ".model"}:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.name}\0{content}\n".encode())
        return digest.hexdigest()


def find_checkpoint(model: str | None) -> Checkpoint:
    """The checkpoint that `--model` means: nothing is the bundled one, then a folder, then a hub id.

    Raises ModelError for a folder without a configuration, pickled weights, remote code, or an unknown id.
    """
    if model is None:
        checkpoint = Checkpoint(resources.bundled_model(), "mcu-sdk-shakespeare")
    elif os.path.isdir(model):  # os.path: False, not OSError, for what is too long to be a path
        checkpoint = Checkpoint(Path(model), Path(model).resolve().name)
    elif os.path.exists(model):
        raise ModelError(
            f"--model takes a checkpoint's folder or a hub id; {model} is a file.",
            hint="For an exported program use --pte.",
        )
    else:
        checkpoint = _from_hub(model)
    _check_files(checkpoint)
    return checkpoint


def _from_hub(model: str) -> Checkpoint:
    if not HUB_ID.fullmatch(model) or len(model) > LONGEST_HUB_ID:
        found = repr(model) if len(model) <= 200 else f"{model[:100]!r}... ({len(model):,} characters)"
        raise ModelError(
            f"--model takes a checkpoint's folder or a hub id such as owner/name; {found} is neither: no such "
            "folder exists.",
            hint="Check the path.",
        )
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(model, allow_patterns=WANTED_FROM_HUB)
    except Exception as error:  # the hub client raises its own, httpx's and OSError's
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{model} is no folder here, and as a hub id it could not be fetched: {reason}",
            hint="Check the name, the network, or download the checkpoint and give its folder.",
        ) from error
    return Checkpoint(Path(folder), model)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint. Raises ModelError when it is missing or no JSON object."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"A checkpoint's folder has a config.json; {folder} has none.",
            hint="Save the model with save_pretrained(folder, safe_serialization=True).",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"{path} should be JSON; it could not be read: {error}.") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelError(
            f"{path} should name a model_type, as transformers writes it; it does not.",
            hint="Save the model with save_pretrained().",
        )
    return config


def _check_files(checkpoint: Checkpoint) -> None:
    config = read_config(checkpoint.folder)
    if "auto_map" in config:
        raise ModelError(
            f"{checkpoint.name} brings its own Python code (auto_map in config.json), which is never run.",
            hint="Use a checkpoint whose architecture is part of transformers.",
        )
    if list(checkpoint.folder.glob("*.safetensors")):
        return
    pickled = [path.name for pattern in PICKLED for path in sorted(checkpoint.folder.glob(pattern))]
    if pickled:
        raise ModelError(
            f"Weights as safetensors were expected; {checkpoint.name} has only pickled ones ({pickled[0]}), which "
            "can run code when they are read.",
            hint="Convert them with save_pretrained(folder, safe_serialization=True) where you trust the file.",
        )
    raise ModelError(
        f"Weights as safetensors were expected in {checkpoint.folder}; there are none.",
        hint="Save the model with save_pretrained(folder, safe_serialization=True).",
    )


def load_model(checkpoint: Checkpoint) -> PreTrainedModel:
    """The decoder in float32 and evaluation mode, attention by scaled_dot_product_attention.

    Raises ModelError for an architecture that is no causal language model, for broken weights and for values that
    are not finite.
    """
    import torch
    import transformers.utils.logging
    from transformers import AutoConfig, AutoModelForCausalLM

    transformers.utils.logging.disable_progress_bar()

    name = checkpoint.name
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelError(
            f"The configuration of {name} is none that transformers knows: {reason}",
            hint="Check model_type in config.json.",
        ) from error
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise ModelError(
            f"A decoder-only language model was expected; {name} is of type {config.model_type!r}, which has no "
            "causal language model with a static cache.",
            hint="Lower such a model yourself and pass the result with --pte.",
        )
    arguments: dict[str, Any] = {
        "config": config,
        "dtype": torch.float32,
        "use_safetensors": True,
        "local_files_only": True,
        "trust_remote_code": False,
        "output_loading_info": True,
    }
    loaded: Any
    try:
        try:
            loaded = AutoModelForCausalLM.from_pretrained(
                checkpoint.folder, attn_implementation="sdpa", **arguments
            )
        except ValueError:  # an architecture without that implementation
            loaded = AutoModelForCausalLM.from_pretrained(checkpoint.folder, **arguments)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelError(
            f"The weights of {name} could not be read as its configuration says: {reason}",
            hint="The checkpoint may be incomplete; fetch or save it again.",
        ) from error
    model: PreTrainedModel
    model, info = loaded
    check_weights(name, model, info)
    model.eval()
    return model


def check_weights(name: str, model: PreTrainedModel, info: dict[str, Any]) -> None:
    """Raises ModelError for missing weights (`info` is what transformers said on loading) and ones that are not finite."""
    import torch

    if info.get("missing_keys"):
        missing = sorted(info["missing_keys"])
        raise ModelError(
            f"The checkpoint {name} lacks {len(missing)} of the weights its configuration asks for, such as "
            f"{missing[0]}.",
            hint="The checkpoint may be incomplete; fetch or save it again.",
        )
    broken = next((n for n, p in model.named_parameters() if not torch.isfinite(p).all()), None)
    if broken is not None:
        raise ModelError(
            f"Finite weights were expected; {broken} of {name} holds infinities or NaNs.",
            hint="The checkpoint is damaged, or was saved in a type too narrow for it.",
        )
