"""Which of the eight base pointers a command stream uses, and that each has memory of its own.

A stream names memory by regions. Vela puts the weights into region 0, the scratch with inputs and outputs into region
1, and, in a memory mode with a fast scratch (Dedicated_Sram), part of the work into region 2. How large that one has
to be is not in the blob, so it cannot be given memory; with the scratch in its place the result is wrong.
"""

from __future__ import annotations

import re

from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.npu.blob import SCRATCH_REGION, WEIGHTS_REGION, VelaBlob
from mcu_sdk.npu.encodings import definitions
from mcu_sdk.npu.stream import CommandStream, read_stream

_FAST_SCRATCH_REGION = 2
_FEATURE_MAP = re.compile("SET_(IFM|IFM2|OFM)_(REGION|PRECISION)")
_CHAINED = (2, 3)
"""Of the U85's field activation_storage: CHAINED and NONE (ethos_u85_interface.hpp); 0 and 1 are tiles in memory."""


def used_regions(stream: CommandStream) -> dict[int, str]:
    """Each region that a command names, in order of the streams' first mention, with that command.

    A DMA's end that lies in the NPU's own memory (region_mode INTERNAL) names none, and neither does a feature map that
    a U85 hands from one operation to the next: its register of a region then holds the chaining buffer's number. Raises
    PteError for a stream of a product that nobody knows.
    """
    known = definitions(stream.config.accelerator.family)
    found: dict[int, str] = {}
    held: dict[str, tuple[int, str]] = {}  # of IFM, IFM2 and OFM, as operations find it
    inside: set[str] = set()  # those that are chained now
    for command in stream.commands:
        definition = known.get((command.opcode, command.payload is not None))
        if definition is None:
            continue
        fields = {f.name: command.parameter >> f.low & ((1 << f.width) - 1) for f in definition.fields}
        name = definition.name
        feature_map = _FEATURE_MAP.fullmatch(name)
        if definition.computes:
            _use(held, inside, found)
        elif feature_map and feature_map[2] == "PRECISION":
            inside.discard(feature_map[1])
            if fields.get("activation_storage") in _CHAINED:
                inside.add(feature_map[1])
        elif feature_map:
            held[feature_map[1]] = fields["region"], f"{name} (word {command.index})"
        elif name.endswith("_REGION") and not fields.get("region_mode"):
            found.setdefault(fields["region"], f"{name} (word {command.index})")
    _use(held, inside, found)
    return found


def _use(held: dict[str, tuple[int, str]], inside: set[str], found: dict[int, str]) -> None:
    """Take down the regions of the feature maps that lie in memory."""
    for feature_map, (region, command) in held.items():
        if feature_map not in inside:
            found.setdefault(region, command)


def check_regions(blob: VelaBlob) -> None:
    """Raises UnsupportedOperatorError where the stream uses a region whose memory is not known, PteError where it
    wants weights that the blob does not have."""
    for region, command in used_regions(read_stream(blob.commands)).items():
        if region == _FAST_SCRATCH_REGION:
            raise UnsupportedOperatorError(
                f"The Ethos-U's commands use region 2, a fast scratch, in {command}; a .pte does not say how large it "
                "has to be, and only the weights (region 0) and the scratch (region 1) have memory here.",
                hint="Lower the model with a memory mode without one: Shared_Sram or Sram_Only, not Dedicated_Sram "
                "(ExecuTorch's default for the U65).",
            )
        if region not in (WEIGHTS_REGION, SCRATCH_REGION):
            raise UnsupportedOperatorError(
                f"The Ethos-U's commands use region {region} in {command}; the weights (region 0) and the scratch "
                "(region 1) were expected.",
                hint="Lower the model again with Vela's Shared_Sram or Sram_Only.",
            )
        if region == WEIGHTS_REGION and not blob.weights:
            raise PteError(
                f"The Ethos-U's commands read weights (region 0) in {command}, and its blob has none.",
                hint="Lower the model again with ExecuTorch's Ethos-U backend.",
            )
