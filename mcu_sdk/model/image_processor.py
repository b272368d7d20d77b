"""What a checkpoint's preprocessor_config.json says of images: read once, at generation, as plain data.

The defaults are those of transformers' own classes, which take a key that is missing, or null, from there. What the file
says and is not used is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcu_sdk.json_file import JsonFileError, read_object

FILE = "preprocessor_config.json"

BILINEAR, BICUBIC = 2, 3
"""Pillow's filters, by the numbers that stand in the files."""

HALF = (0.5, 0.5, 0.5)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

Size = Mapping[str, int]


@dataclass(frozen=True)
class Defaults:
    """A class of transformers. `edges`: an int as its size is that of the shortest edge, not of both; `warps_from`: the
    shortest edge from which on it resizes to a square instead of cropping (ConvNeXT; 0: it does not)."""

    resample: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: Size
    crop: Size | None = None
    edges: bool = False
    normalizes: bool = True
    flips: bool = False
    warps_from: int = 0


def _square(side: int) -> Size:
    return {"height": side, "width": side}


def _edge(side: int) -> Size:
    return {"shortest_edge": side}


_MOBILE_NET = Defaults(BILINEAR, HALF, HALF, _edge(256), _square(224), edges=True)
_CLIP = Defaults(BICUBIC, *CLIP, _edge(224), _square(224), edges=True)

PROCESSORS = {
    "ViTImageProcessor": Defaults(BILINEAR, HALF, HALF, _square(224)),
    "DeiTImageProcessor": Defaults(BICUBIC, HALF, HALF, _square(256), _square(224)),
    "BitImageProcessor": _CLIP,
    "CLIPImageProcessor": _CLIP,
    "SiglipImageProcessor": Defaults(BICUBIC, HALF, HALF, _square(224), edges=True),
    "BeitImageProcessor": Defaults(BICUBIC, HALF, HALF, _square(224)),
    "MobileNetV1ImageProcessor": _MOBILE_NET,
    "MobileNetV2ImageProcessor": _MOBILE_NET,
    "MobileViTImageProcessor": Defaults(
        BICUBIC, HALF, HALF, _edge(224), _square(256), edges=True, normalizes=False, flips=True
    ),
    "ConvNextImageProcessor": Defaults(BICUBIC, HALF, HALF, _edge(384), edges=True, warps_from=384),
}
"""By name; others resize or rescale in a way of their own."""

CROP_SHARE = 224 / 256
"""ConvNeXT's crop_pct, where the file has none."""

_SAME_ANYWAY = frozenset(
    [
        "image_processor_type",
        "feature_extractor_type",
        "processor_class",
        "_processor_class",
        "_valid_processor_keys",
        "do_reduce_labels",
        "device",
        "disable_grouping",
        "return_tensors",
        "input_data_format",
        "default_to_square",
    ]
)
"""Keys that make no difference to a single image (do_reduce_labels is for maps of labels), or are read with others."""

_USED = frozenset(
    [
        "do_resize",
        "size",
        "resample",
        "do_center_crop",
        "crop_size",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
        "image_mean",
        "image_std",
        "do_convert_rgb",
    ]
)


class Unknown(ValueError):
    """Why images cannot be prepared as the file says."""


def image_facts(folder: Path) -> dict[str, Any]:
    """How an image becomes the model's input: {"resize", "warp", "crop", "resample", "factor", "mean", "std", "flip"}, or
    {"refused": why} where that is not known.

    `resize`: {"height", "width"} or {"shortest_edge"}, or None; `crop`: {"height", "width"} or None; pixels are multiplied
    by `factor`, then `mean` is subtracted and the rest divided by `std`, each None where it is not done; `flip`: blue comes
    first.
    """
    if not (folder / FILE).is_file():
        return {"refused": f"its checkpoint has no {FILE}"}
    try:
        return _facts(read_object(folder / FILE))
    except (JsonFileError, Unknown) as error:
        return {"refused": f"in the checkpoint's {FILE} {error}"}


def prepares(facts: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether images become [1, C, H, W] by these facts: nothing is refused, and each channel has a mean and deviation."""
    if "refused" in facts or len(shape) != 4:
        return False
    return all(facts[name] is None or len(facts[name]) in (1, shape[1]) for name in ("mean", "std"))


def _facts(said: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Unknown."""
    name = said.get("image_processor_type") or said.get("feature_extractor_type")
    plain = str(name).removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    defaults = PROCESSORS.get(plain)
    if defaults is None:
        raise Unknown(f"the class {name!r} is named; known are {', '.join(PROCESSORS)}")
    _check_keys(said, defaults)
    resize = _size(said, "size", defaults.size, defaults) if flag(said, "do_resize", True) else None
    crop = None
    if flag(said, "do_center_crop", defaults.crop is not None):
        crop = _size(said, "crop_size", defaults.crop or {}, defaults, square=True)
    facts = {"resize": resize, "crop": crop}
    if defaults.warps_from and resize is not None:
        facts = _like_convnext(said, resize, crop, defaults.warps_from)
    normalizes = flag(said, "do_normalize", defaults.normalizes)
    if normalizes and not defaults.normalizes:
        raise Unknown(f"do_normalize is true, which a {plain} does not do")
    factor = None
    if flag(said, "do_rescale", True):
        (factor,) = _numbers(said, "rescale_factor", (1 / 255,))
    return {
        **facts,
        "resample": _resample(said, defaults),
        "factor": factor,
        "mean": _numbers(said, "image_mean", defaults.mean) if normalizes else None,
        "std": _numbers(said, "image_std", defaults.std) if normalizes else None,
        "flip": flag(said, "do_flip_channel_order", True) if defaults.flips else False,
    }


def _check_keys(said: Mapping[str, Any], defaults: Defaults) -> None:
    used = _USED | ({"crop_pct"} if defaults.warps_from else set())
    used |= {"do_flip_channel_order"} if defaults.flips else set()
    for key, value in said.items():
        if key in used or key in _SAME_ANYWAY or value is None or value is False:
            continue
        if key == "data_format" and value == "channels_first":
            continue
        raise Unknown(f"{key} is {value!r}, which nothing here does")


def _like_convnext(
    said: Mapping[str, Any], resize: Size, crop: Size | None, warps_from: int
) -> dict[str, Any]:
    """A square from `warps_from` on; below that the shortest edge to edge / crop_pct, and the middle of it."""
    edge = resize.get("shortest_edge")
    if edge is None or crop is not None:
        raise Unknown("size has to be that of the shortest edge, and nothing be cropped beside")
    if edge >= warps_from:
        return {"resize": dict(_square(edge)), "crop": None}
    (share,) = _numbers(said, "crop_pct", (CROP_SHARE,))
    if not share > 0:
        raise Unknown(f"crop_pct is {share}, not above 0")
    return {"resize": dict(_edge(int(edge / share))), "crop": dict(_square(edge))}


def flag(said: Mapping[str, Any], key: str, default: bool) -> bool:
    """A key's value, or its default where it is missing or null. Raises Unknown for what is no truth value."""
    value = said.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Unknown(f"{key} is {value!r}, not true or false")
    return value


def _size(
    said: Mapping[str, Any], key: str, default: Size, defaults: Defaults, *, square: bool = False
) -> dict[str, int]:
    """{"height", "width"} or, unless `square`, {"shortest_edge"}."""
    value = said.get(key)
    if value is None:
        value = default
    if isinstance(value, int) and not isinstance(value, bool):
        edges = said.get("default_to_square", not defaults.edges) is False and not square
        value = _edge(value) if edges else _square(value)
    if isinstance(value, list) and len(value) == 2:
        value = {"height": value[0], "width": value[1]}
    forms: list[set[str]] = [{"height", "width"}] + ([] if square else [{"shortest_edge"}])
    if not isinstance(value, Mapping) or set(value) not in forms:
        raise Unknown(f"{key} is {value!r}, not {' or '.join(str(sorted(form)) for form in forms)}")
    if not all(isinstance(side, int) and 1 <= side <= LONGEST_SIDE for side in value.values()):
        raise Unknown(f"{key} is {dict(value)!r}; sides from 1 to {LONGEST_SIDE:,} are known")
    return dict(value)


LONGEST_SIDE = 1 << 14


def _resample(said: Mapping[str, Any], defaults: Defaults) -> int:
    value = said.get("resample")
    if value is None:
        return defaults.resample
    if isinstance(value, bool) or value not in range(6):
        raise Unknown(f"resample is {value!r}, not a filter of Pillow (0 to 5)")
    return int(value)


def _numbers(said: Mapping[str, Any], key: str, default: tuple[float, ...]) -> list[float]:
    value = said.get(key)
    if value is None:
        return list(default)
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise Unknown(f"{key} is {value!r}, not a number or several")
    return [float(v) for v in values]
