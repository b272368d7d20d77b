"""Which of the eight base pointers a command stream uses, and that each has memory of its own.

A stream names memory by regions. Vela puts the weights into region 0, the scratch with inputs and outputs into region
1, and, in a memory mode with a fast scratch (Dedicated_Sram), part of the work into region 2. How large that one has
to be is not in the blob, so it cannot be given memory; with the scratch in its place the result is wrong.
"""

from __future__ import annotations

from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.npu.blob import SCRATCH_REGION, WEIGHTS_REGION, VelaBlob
from mcu_sdk.npu.encodings import definitions
from mcu_sdk.npu.stream import CommandStream, read_stream

_FAST_SCRATCH_REGION = 2


def used_regions(stream: CommandStream) -> dict[int, str]:
    """Each region that a command names, in order of the streams' first mention, with that command.

    A DMA's end that lies in the NPU's own memory (region_mode INTERNAL) names none. Raises PteError for a stream of a
    product that nobody knows.
    """
    known = definitions(stream.config.accelerator.family)
    found: dict[int, str] = {}
    for command in stream.commands:
        definition = known.get((command.opcode, command.payload is not None))
        if definition is None or not definition.name.endswith("_REGION"):
            continue
        fields = {f.name: command.parameter >> f.low & ((1 << f.width) - 1) for f in definition.fields}
        if not fields.get("region_mode"):
            found.setdefault(fields["region"], f"{definition.name} (word {command.index})")
    return found


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
