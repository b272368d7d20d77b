"""What lies in a checkpoint's folder: each file is used, refused by name, or harmless (the table in docs/models.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcu_sdk.errors import ModelError
from mcu_sdk.model.json_object import json_object
from mcu_sdk.model.special_tokens import token_notes
from mcu_sdk.model.stored import (
    SINGLE,
    Stored,
    parameters_note,
    quantized_weight,
    read_stored,
)

LFS = b"version https://git-lfs.github.com/spec/v1"
"""How the placeholder begins that Git leaves where a file was not fetched."""

MERGE = (
    "Merge it into the base: peft.AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload()"
    ".save_pretrained(NEW), and give NEW."
)
UNQUANTIZED = "Give the unquantized original that it was made from; mcu-sdk quantizes it itself."
QUANTIZATION_FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
"""Where GPTQ, AWQ and ModelOpt describe their weights, if not in config.json."""

PLAIN_JSON = (
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def check_folder(folder: Path, name: str) -> list[str]:
    """Notes for the report on a folder that holds a whole, plain checkpoint.

    Raises ModelError for what is missing, cut, packed, or would be left out without a word.
    """
    for path in sorted(folder.iterdir()):
        check_fetched(path)
    _check_adapter(folder, name)
    config = read_config(folder)
    _check_config(config, name)
    _check_quantization(folder, config, name)
    stored = read_stored(folder, name)
    _check_layers(config, stored, name)
    packed = quantized_weight(stored.tensors)
    if packed is not None:
        raise ModelError(
            f"Weights as plain floats were expected; {packed[0]} of {name} is {packed[1]}: the checkpoint is quantized.",
            hint=UNQUANTIZED,
        )
    for file in PLAIN_JSON:
        if (folder / file).is_file():
            json_object(folder / file)
    return [*parameters_note(stored.copies), *token_notes(folder, config)]


def check_fetched(path: Path) -> None:
    """Raises ModelError for what Git-LFS leaves in the place of a file that was not fetched."""
    try:
        with path.open("rb") as file:
            pointer = file.read(len(LFS)) == LFS
    except OSError:  # a folder, or what the reader of the file will say
        return
    if pointer:
        raise ModelError(
            f"{path.name} is not there yet: {path} is the placeholder that Git-LFS leaves for it.",
            hint="Fetch the content with `git lfs pull` in that folder.",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint. Raises ModelError when it is missing or no JSON object."""
    path = folder / "config.json"
    if not path.is_file():
        raise _no_config(folder)
    config = json_object(path)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(
            f"{path} should name a model_type, as transformers writes it; it does not.",
            hint="Save the model with save_pretrained().",
        )
    return config


def _no_config(folder: Path) -> ModelError:
    """What to say where there is no config.json."""
    message = f"A checkpoint's folder has a config.json; {folder} has none."
    gguf = next((path for path in sorted(folder.glob("*.gguf"))), None)
    if gguf is not None:
        return ModelError(message, hint=f"Give the GGUF file itself: --model {gguf}")
    if (folder / "params.json").is_file():
        return ModelError(
            f"{message} Its params.json is of another format, of Meta's or Mistral's own code.",
            hint="Give the same model in the transformers format, or convert it with transformers' script.",
        )
    inner = next((path.parent for path in sorted(folder.glob("*/config.json"))), None)
    if inner is not None:
        return ModelError(message, hint=f"Is it the folder inside? --model {inner}")
    return ModelError(message, hint="Save the model with save_pretrained(folder, safe_serialization=True).")


def _check_adapter(folder: Path, name: str) -> None:
    """Raises ModelError for a LoRA or other PEFT adapter, alone or beside its base."""
    files = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
    found = next((file for file in files if (folder / file).is_file()), None)
    if found is None:
        return
    base = ""
    if found == "adapter_config.json":
        said = json_object(folder / found).get("base_model_name_or_path")
        base = f" to {said[:100]!r}" if isinstance(said, str) and said else ""
    if (folder / SINGLE).is_file() or (folder / f"{SINGLE}.index.json").is_file():
        raise ModelError(
            f"A whole model was expected; {name} holds an adapter ({found}) beside its base, and the base alone would be "
            "another model.",
            hint=f"{MERGE} Or move the adapter's files out of the folder, if the base alone is meant.",
        )
    raise ModelError(
        f"A whole model was expected; {name} is an adapter{base} ({found}) and has no weights of its own.",
        hint=MERGE,
    )


def _check_config(config: dict[str, Any], name: str) -> None:
    """Raises ModelError for what config.json says that would lead elsewhere."""
    if "auto_map" in config:
        raise ModelError(
            f"{name} brings its own Python code (auto_map in config.json), which is never run.",
            hint="Use a checkpoint whose architecture is part of transformers.",
        )
    for key in ("configuration_files", "transformers_weights"):
        if config.get(key):
            raise ModelError(
                f"config.json of {name} sends its reader to other files ({key}), which is not followed.",
                hint=f"Remove {key} from config.json, and give that file the usual name.",
            )


def _check_quantization(folder: Path, config: dict[str, Any], name: str) -> None:
    """Raises ModelError for a checkpoint that says that its weights are packed."""
    inner = [value for value in config.values() if isinstance(value, dict)]
    for part in (config, *inner):
        for key in ("quantization_config", "compression_config"):
            if part.get(key):
                raise ModelError(
                    f"Weights as plain floats were expected; {name} is quantized ({key} in config.json: "
                    f"{_method(part[key])}).",
                    hint=UNQUANTIZED,
                )
    for file in QUANTIZATION_FILES:
        if (folder / file).is_file():
            raise ModelError(
                f"Weights as plain floats were expected; {name} is quantized ({file} describes how).",
                hint=f"{UNQUANTIZED} If the weights beside it are plain, move {file} out of the folder.",
            )


LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
MOST_LAYERS = 1000


def _check_layers(config: dict[str, Any], stored: Stored, name: str) -> None:
    """Raises ModelError for more layers than there can be weights of: making them would take for ever."""
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in LAYER_COUNTS:
            count = part.get(key)
            if isinstance(count, int) and count > max(MOST_LAYERS, len(stored.tensors)):
                raise ModelError(
                    f"config.json of {name} says {key} = {count:,}; the checkpoint holds {len(stored.tensors):,} tensors in "
                    "all.",
                    hint="Check config.json, or save the checkpoint again.",
                )


def _method(settings: Any) -> str:
    """How a quantization_config calls itself."""
    if not isinstance(settings, dict):
        return "of an unknown kind"
    method = str(settings.get("quant_method") or settings.get("format") or "of an unknown kind")[:40]
    if settings.get("load_in_4bit"):
        return f"{method}, 4 bits"
    if settings.get("load_in_8bit"):
        return f"{method}, 8 bits"
    bits = settings.get("bits") or settings.get("w_bit")
    return f"{method}, {bits} bits" if isinstance(bits, int) else method
