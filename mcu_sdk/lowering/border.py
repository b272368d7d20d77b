"""int8 at a model's border: a quantization behind an input, and a dequantization before a result, are the caller's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.fuse.graph import args, dtype_of, is_call, shape_of, tidy

decomposed = torch.ops.quantized_decomposed


@dataclass(frozen=True)
class Scale:
    """real = scale * (q - zero_point), q int8."""

    scale: float
    zero_point: int


def int8_border(program: ExportedProgram) -> tuple[list[Scale | None], list[Scale | None]]:
    """Make float inputs and results int8, in place; the scale of each input and result, None where it is no float.

    Raises ModelError for an input that is also read as float, or at several scales, and for a result without one.
    """
    inputs = [_input(program, name) for name in program.graph_signature.user_inputs]
    outputs = _outputs(program)
    tidy(program)
    return inputs, outputs


def _input(program: ExportedProgram, name: object) -> Scale | None:
    node = next(n for n in program.graph.nodes if n.op == "placeholder" and n.name == name)
    if dtype_of(node) != torch.float32:
        return None
    users = [user for user in node.users if not _is_unused(user)]
    scales = {args(user)[1:6] for user in users if is_call(user, decomposed.quantize_per_tensor.default)}
    if len(scales) != 1 or not all(is_call(user, decomposed.quantize_per_tensor.default) for user in users):
        raise ModelError(
            f"An int8 border needs inputs that go to int8 operators alone; {name} is also read as float.",
            hint="Take border='float'.",
        )
    ((scale, zero_point, low, high, dtype),) = scales
    if (low, high, dtype) != (-128, 127, torch.int8):
        raise ModelError(f"The input {name} is quantized to {dtype} from {low} to {high}, not to int8.")
    node.meta["val"] = node.meta["val"].to(torch.int8)
    for user in users:
        user.replace_all_uses_with(node)
        program.graph.erase_node(user)
    return Scale(float(scale), int(zero_point))


def _is_unused(node: Node) -> bool:
    return not node.users and node.op == "call_function"


def _outputs(program: ExportedProgram) -> list[Scale | None]:
    output = program.graph.output_node()
    returned = list(args(output)[0])
    scales: list[Scale | None] = []
    kept = len(returned) - len(
        program.graph_signature.user_outputs
    )  # buffers that the step updates come first
    for place in range(kept, len(returned)):
        node = returned[place]
        if not isinstance(node, Node) or dtype_of(node) != torch.float32:
            scales.append(None)
            continue
        if not is_call(node, decomposed.dequantize_per_tensor.default):
            raise ModelError(
                f"An int8 border needs results that are calibrated; {node.name}{list(shape_of(node))} is not.",
                hint="Take border='float'.",
            )
        quantized, scale, zero_point = args(node)[:3]
        returned[place] = quantized
        scales.append(Scale(float(scale), int(zero_point)))
    output.args = (tuple(returned),)
    return scales
