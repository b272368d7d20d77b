"""Where a checkpoint comes from: a local folder, a hub id, or the package itself."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk import resources
from mcu_sdk.errors import ModelError
from mcu_sdk.model.folder import check_fetched, check_folder, read_config
from mcu_sdk.model.gguf import converted, is_gguf
from mcu_sdk.model.pooling import pooling_files
from mcu_sdk.model.special_tokens import read_special_tokens
from mcu_sdk.text import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
LONGEST_HUB_ID = 96
"""Characters, by the hub's own rule."""

BUNDLED_NAMES = {"bundled": "mcu-sdk-shakespeare", "bundled-small": "mcu-sdk-shakespeare-small"}
"""What the package's own checkpoints are called in projects and reports."""

WANTED_FROM_HUB = ["*.safetensors", "*.json", "*.txt", "*.model"]


@dataclass(frozen=True)
class Checkpoint:
    """A folder in the Hugging Face format. `name` is for people and slugs; it is never used as a path.

    `notes`: what the report should say of its files.
    """

    folder: Path
    name: str
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 over the names and contents of the files that decide what is generated."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and path.suffix in {".json", ".safetensors", ".txt", ".model", ".jinja"}:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.name}\0{content}\n".encode())
        for path in pooling_files(self.folder):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{content}\n".encode())
        return digest.hexdigest()


def find_checkpoint(model: str | None, *, use_cache: bool = True) -> Checkpoint:
    """The checkpoint that `--model` means: nothing is the bundled one, then a folder, a GGUF file, a bundled one's name,
    a hub id.

    Raises ModelError for a folder without a configuration, pickled weights, remote code, or an unknown id.
    """
    if model is None:
        checkpoint = Checkpoint(resources.bundled_model(), BUNDLED_NAMES["bundled"])
    elif os.path.isdir(model):  # os.path: False, not OSError, for what is too long to be a path
        checkpoint = Checkpoint(Path(model), Path(model).resolve().name)
    elif os.path.exists(model):
        check_fetched(Path(model))
        if is_gguf(Path(model)):
            folder, notes = converted(Path(model), use_cache=use_cache)
            return Checkpoint(folder, Path(model).stem, (*notes, *check_folder(folder, Path(model).name)))
        raise ModelError(
            f"--model takes a checkpoint's folder, a GGUF file or a hub id; {model} is another file.",
            hint="For an exported program use --pte.",
        )
    elif model in (bundled := resources.bundled_models()):
        checkpoint = Checkpoint(bundled[model], BUNDLED_NAMES[model])
    else:
        checkpoint = _from_hub(model)
    return replace(checkpoint, notes=tuple(check_folder(checkpoint.folder, checkpoint.name)))


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


def load_model(checkpoint: Checkpoint) -> PreTrainedModel:
    """The decoder in float32 and evaluation mode, attention by scaled_dot_product_attention.

    Raises ModelError for an architecture that is no causal language model, for broken weights and for values that
    are not finite.
    """
    from transformers import AutoModelForCausalLM

    config, _ = decoder_config(checkpoint)
    try:
        return load_weights(checkpoint, AutoModelForCausalLM, config=config, attn_implementation="sdpa")
    except AttentionError:
        return load_weights(checkpoint, AutoModelForCausalLM, config=config)


def decoder_config(checkpoint: Checkpoint) -> tuple[PreTrainedConfig, str]:
    """A decoder's configuration and the name of its class, without its weights. Raises ModelError for an architecture that is no
    causal language model."""
    from transformers import AutoConfig, AutoModelForCausalLM

    name = checkpoint.name
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"The configuration of {name} is none that transformers knows: {first_line(error)}",
            hint="Check model_type in config.json.",
        ) from error
    known = AutoModelForCausalLM._model_mapping
    if type(config) not in known:
        raise ModelError(
            f"A decoder-only language model was expected; {name} is of type {config.model_type!r}, which has no "
            "causal language model with a static cache.",
            hint="Lower such a model yourself and pass the result with --pte.",
        )
    kinds: Any = known[type(config)]
    return config, (kinds[0] if isinstance(kinds, tuple) else kinds).__name__


def load_frozen(checkpoint: Checkpoint, architecture: Any, *, eager: bool = False) -> PreTrainedModel:
    """`load_weights` without gradients, with scaled_dot_product_attention where the class has it; `eager`: without in any
    case."""
    try:
        model = load_weights(checkpoint, architecture, attn_implementation="eager" if eager else "sdpa")
    except AttentionError:
        if eager:
            raise
        model = load_weights(checkpoint, architecture, attn_implementation="eager")
    model.requires_grad_(False)
    return model


class AttentionError(ModelError):
    """An architecture without the attention that was asked for."""


def load_weights(checkpoint: Checkpoint, architecture: Any, **arguments: Any) -> PreTrainedModel:
    """`architecture.from_pretrained` in float32 and evaluation mode, every stored weight accounted for.

    Raises ModelError for weights that are missing, left over, broken, or not finite.
    """
    import torch
    import transformers.utils.logging

    from mcu_sdk.model.stored import read_stored
    from mcu_sdk.model.weights import Keys, all_keys, check_weights

    transformers.utils.logging.disable_progress_bar()
    name = checkpoint.name
    keys = Keys()
    try:
        with all_keys(keys):
            model: PreTrainedModel = architecture.from_pretrained(
                checkpoint.folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                **arguments,
            )
    except Exception as error:  # transformers raises all kinds
        if keys.mismatched:
            key, shapes = keys.mismatched[0]
            raise ModelError(
                f"{len(keys.mismatched)} weights of {name} have other shapes than its configuration says, such as {key}: "
                f"{shapes}.",
                hint="Check the sizes in config.json, or fetch or save the checkpoint again.",
            ) from error
        kind = ModelError
        if isinstance(error, ValueError) and "attn_implementation" in arguments:
            kind = AttentionError
        raise kind(
            f"The weights of {name} could not be read as its configuration says: {first_line(error)}",
            hint="The checkpoint may be incomplete; fetch or save it again.",
        ) from error
    check_weights(name, model, keys, read_stored(checkpoint.folder, name))
    _set_special_tokens(checkpoint, model)
    model.eval()
    return model


def _set_special_tokens(checkpoint: Checkpoint, model: PreTrainedModel) -> None:
    """The configuration says what generation_config.json says, where there is one: the one place that is asked later."""
    tokens = read_special_tokens(checkpoint.folder, read_config(checkpoint.folder))
    inner = model.config.get_text_config()
    inner.suppress_tokens, inner.begin_suppress_tokens = (
        list(tokens.suppressed),
        list(tokens.first_suppressed),
    )
    if tokens.source != "config.json":
        config = model.config.get_text_config()
        ends = list(tokens.ends)
        config.bos_token_id = tokens.start
        config.eos_token_id = ends[0] if len(ends) == 1 else ends or None  # some classes take no list


def first_line(error: Exception) -> str:
    """What a library's exception says first, for a message of ours."""
    lines = str(error).strip().splitlines()
    return one_line(lines[0])[:300] if lines else type(error).__name__
