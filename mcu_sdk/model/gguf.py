"""A GGUF file (llama.cpp's format) -> a checkpoint's folder, by transformers' own reader.

Its blocks are unpacked to float32 and its tokenizer written as tokenizer.json; from there on it is a checkpoint like any
other. transformers passes over tensors and settings that it does not know: here they are compared, or refused by name.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk import cache
from mcu_sdk.console import quiet_libraries, step
from mcu_sdk.errors import ModelError, ToolMissingError
from mcu_sdk.heap import return_freed_tensors
from mcu_sdk.text import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAGIC = b"GGUF"
PACKAGES = ("gguf", "accelerate")
"""What the extra `gguf` installs; transformers asks for both."""

NOTES = "gguf.json"
"""In the converted folder: what the report should say of the conversion."""

SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")

COMPARED = {
    "rope.freq_base": "rope_theta",
    "rope.dimension_count": "head_dim",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "vocab_size": "vocab_size",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
"""Settings of a GGUF file, behind its architecture's name, and the field of the configuration that has to say the same."""

SWITCHED_OFF: dict[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (0.0, 1.0),
    "rope.scaling.finetuned": (False, True),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "pooling_type": (0,),
    "use_parallel_residual": (False,),
    "logit_scale": (0.0, 1.0),
    "residual_scale": (1.0,),
    "embedding_scale": (1.0,),
    "attention.scale": (0.0,),
}
"""Settings that change nothing with these values."""

SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Ways to cut text, by llama.cpp's name, that are GPT-2's with every digit alone; transformers reads them as GPT-2's."""

LIKE_GPT2 = ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion")


def is_gguf(path: Path) -> bool:
    """Whether a file is, or calls itself, a GGUF file."""
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC or path.suffix == ".gguf"
    except OSError:
        return path.suffix == ".gguf"


def converted(path: Path, *, use_cache: bool = True) -> tuple[Path, list[str]]:
    """The folder that a GGUF file became, and notes; converted once for the same content if `use_cache`.

    Raises ToolMissingError without the extra `gguf`, ModelError for a file that is cut, split, or of an architecture,
    with tensors or with settings that transformers does not read.
    """
    _check_file(path)
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ToolMissingError(
            f"A GGUF file is read with the Python packages {' and '.join(PACKAGES)}; {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed.",
            hint='Install the extra: pip install "mcu-sdk[gguf]"',
        )
    destination = cache.cache_folder() / f"gguf-{_key(path)}"
    if use_cache and (destination / NOTES).is_file():
        return destination, json.loads((destination / NOTES).read_text(encoding="utf-8"))
    work = _work_folder(use_cache)
    try:
        with step(f"Converting {path.name}"), quiet_libraries():
            notes = _convert(path, work)
        (work / NOTES).write_text(json.dumps(notes), encoding="utf-8")
        if use_cache:
            try:
                work = work.rename(destination)
            except OSError:  # another process was first, or the cache cannot be written
                atexit.register(shutil.rmtree, work, ignore_errors=True)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return work, notes


def _key(path: Path) -> str:
    """From whatever decides the folder's content."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(repr([*cache.package_versions().items(), version("gguf")]).encode())
    with path.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _work_folder(use_cache: bool) -> Path:
    """Beside its destination in the cache; without a cache, a folder that goes when the process ends."""
    if use_cache:
        try:
            cache.cache_folder().mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=".new-", dir=cache.cache_folder()))
        except OSError:  # a cache that cannot be written is no error
            pass
    folder = Path(tempfile.mkdtemp(prefix="mcu-sdk-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _check_file(path: Path) -> None:
    """What a look at the name and the first bytes can tell."""
    with path.open("rb") as file:
        begin = file.read(4)
    if begin != MAGIC:
        raise ModelError(
            f"A GGUF file was expected; {path.name} begins with {begin!r}, not with {MAGIC!r}.",
            hint="Fetch it again.",
        )
    part = SPLIT.search(path.name)
    if part is not None and int(part[1]) > 1:
        raise _split(path, int(part[1]))


def _split(path: Path, count: int) -> ModelError:
    return ModelError(
        f"A whole GGUF file was expected; {path.name} is one of {count} parts.",
        hint="Join them with llama.cpp: llama-gguf-split --merge FIRST_PART WHOLE.gguf",
    )


def _convert(path: Path, folder: Path) -> list[str]:
    """Write config.json, generation_config.json, model.safetensors, tokenizer.json and, with a chat template,
    tokenizer_config.json; returns notes."""
    return_freed_tensors()
    settings, tensors = _read(path)
    parts = int(settings.get("split.count") or 1)
    if parts > 1:
        raise _split(path, parts)
    with _one_map_of_names():
        model = _load(path)
        _check_tensors(path, model, tensors)
    _check_settings(path, model, settings)
    model.save_pretrained(folder)
    ends = [
        settings.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")
    ]  # llama.cpp ends a text with any of them
    ids = [int(i) for i in dict.fromkeys(ends) if i is not None]
    start = settings.get("tokenizer.ggml.bos_token_id")
    generation = {"bos_token_id": None if start is None else int(start), "eos_token_id": ids or None}
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    return _write_tokenizer(path, folder, settings)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings by key, arrays by tensor's name; those of one value or a few only)."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        settings = {key: field.contents() for key, field in reader.fields.items() if len(field.data) <= 64}
        small = {t.name: t.data if t.n_elements <= 4096 else None for t in reader.tensors}
    except Exception as error:  # numpy's, struct's and its own
        raise ModelError(
            f"A GGUF file was expected; {path.name} ({path.stat().st_size:,} bytes) could not be read: "
            f"{one_line(str(error))[:200]}",
            hint="It is cut or damaged; fetch it again.",
        ) from error
    return settings, small


@contextmanager
def _one_map_of_names() -> Iterator[None]:
    """transformers makes gguf's map of an architecture's names again for each of a model's modules: most of the time
    that reading takes. Here it is made once."""
    import gguf

    original = gguf.get_tensor_name_map
    gguf.get_tensor_name_map = functools.cache(original)
    try:
        yield
    finally:
        gguf.get_tensor_name_map = original


def _load(path: Path) -> PreTrainedModel:
    import torch
    import transformers.utils.logging
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import GgufConfig

    from mcu_sdk.model.weights import Keys, all_keys

    transformers.utils.logging.disable_progress_bar()
    keys = Keys()
    try:
        with all_keys(keys):
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                dtype=torch.float32,
                local_files_only=True,
                quantization_config=GgufConfig(dequantize=True),
            )
    except Exception as error:  # transformers raises all kinds
        raise ModelError(
            f"A GGUF file of a decoder that transformers reads was expected; {path.name} could not be read: "
            f"{type(error).__name__}: {one_line(str(error))[:300]}",
            hint="Give the checkpoint that it was made from, as a folder with safetensors.",
        ) from error
    lost = sorted(keys.missing) + sorted(keys.unexpected)
    if lost:
        raise ModelError(
            f"transformers does not map all weights of {path.name}: {', '.join(lost[:3])} ({len(lost)} in all).",
            hint="Give the checkpoint that it was made from, as a folder with safetensors.",
        )
    return model


def _check_tensors(path: Path, model: PreTrainedModel, tensors: dict[str, Any]) -> None:
    """Raises ModelError for tensors that transformers' map of names leaves out, if they are not all ones."""
    from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

    known = get_gguf_hf_weights_map(model, TensorProcessor(config={}))
    left = [
        name
        for name, data in tensors.items()
        if name not in known and not (name == "rope_freqs.weight" and data is not None and (data == 1).all())
    ]
    if left:
        reason = "; they scale the rotary embedding" if "rope_freqs.weight" in left else ""
        raise ModelError(
            f"transformers passes over {len(left)} tensors of {path.name}, such as {left[0]}{reason}: without them it would "
            "be another model.",
            hint="Give the checkpoint that it was made from, as a folder with safetensors.",
        )


def _check_settings(path: Path, model: PreTrainedModel, settings: dict[str, Any]) -> None:
    """Raises ModelError for a setting of the architecture that the configuration does not follow."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    architecture = str(settings.get("general.architecture"))
    config = model.config.get_text_config()
    mapping: Any = GGUF_CONFIG_MAPPING
    read = {key for key, name in mapping.get(architecture, {}).items() if name}
    for key, value in settings.items():
        name = key.removeprefix(f"{architecture}.")
        if name == key or (name in read and name not in COMPARED):
            continue
        if value in SWITCHED_OFF.get(name, ()):
            continue
        field = COMPARED.get(name)
        if field is not None and _same(value, _field(config, field)):
            continue
        if name == "feed_forward_length" or (name == "attention.sliding_window" and not value):
            continue  # the shapes of the weights say it
        raise ModelError(
            f"{path.name} says {key} = {str(value)[:60]}, which transformers does not follow"
            + (f" ({field} is {_field(config, field)})." if field else "."),
            hint="Give the checkpoint that it was made from, as a folder with safetensors.",
        )


def _field(config: Any, name: str) -> Any:
    if name == "rope_theta":
        return (getattr(config, "rope_parameters", None) or {}).get(name, getattr(config, name, None))
    if name == "head_dim" and getattr(config, name, None) is None:
        return config.hidden_size // config.num_attention_heads
    return getattr(config, name, None)


def _same(left: Any, right: Any) -> bool:
    """Whether two numbers are the same in float32, which is what GGUF files have."""
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return abs(left - right) <= 1e-6 * abs(right)
    return bool(left == right)


def _write_tokenizer(path: Path, folder: Path, settings: dict[str, Any]) -> list[str]:
    """tokenizer.json as transformers converts it; returns notes. A file without a tokenizer is one for token ids."""
    if "tokenizer.ggml.model" not in settings or settings["tokenizer.ggml.model"] == "none":
        return []
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    try:
        loaded: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        tokenizer = loaded.backend_tokenizer
        way = settings.get("tokenizer.ggml.pre")
        notes = []
        if settings["tokenizer.ggml.model"] == "gpt2" and way in SINGLE_DIGITS:
            digits = pre_tokenizers.Digits(individual_digits=True)
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
            )
        elif settings["tokenizer.ggml.model"] == "gpt2" and way not in LIKE_GPT2 and not _is_known(way):
            notes.append(
                f"transformers does not know the way {str(way)[:40]!r} to cut text into words; the tokenizer cuts as GPT-2's."
            )
        tokenizer.save(str(folder / "tokenizer.json"))
        _write_chat_template(folder, settings, tokenizer)
        return notes
    except Exception as error:
        raise ModelError(
            f"The tokenizer of {path.name} could not be converted: {type(error).__name__}: "
            f"{one_line(str(error))[:300]}",
            hint="Give the checkpoint that it was made from, as a folder with safetensors.",
        ) from error


def _write_chat_template(folder: Path, settings: dict[str, Any], tokenizer: Any) -> None:
    """tokenizer_config.json with the file's chat template and the special tokens that it may name, where it has one."""
    template = settings.get("tokenizer.chat_template")
    if not isinstance(template, str):
        return
    config = {"chat_template": template}
    for name, key in (
        ("bos_token", "bos"),
        ("eos_token", "eos"),
        ("unk_token", "unknown"),
        ("pad_token", "padding"),
    ):
        index = settings.get(f"tokenizer.ggml.{key}_token_id")
        token = tokenizer.id_to_token(int(index)) if index is not None else None
        if token is not None:
            config[name] = token
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def _is_known(way: object) -> bool:
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    return way in GGUF_PRE_TOKENIZER_SPLITS
