"""Operators that nothing becomes int8 of and that have no kernel: refused before a module is calibrated and lowered."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.fuse.graph import args, is_constant, shape_of
from mcu_sdk.lowering.images_s8 import is_between_turns
from mcu_sdk.lowering.module_path import module_path

CONVOLUTION = "a convolution"
WITHOUT = {
    "conv1d": CONVOLUTION,
    "conv2d": CONVOLUTION,
    "conv3d": "a convolution over three axes",
    "convolution": CONVOLUTION,
    "conv_transpose1d": "a transposed convolution",
    "conv_transpose2d": "a transposed convolution",
    "conv_transpose3d": "a transposed convolution",
    "upsample_bilinear2d": "a bilinear change of size",
    "upsample_bicubic2d": "a bicubic change of size",
    "grid_sampler": "a sampling at computed places",
    "fft_rfft": "a Fourier transform",
    "fft_fft": "a Fourier transform",
    "fft_fft2": "a Fourier transform",
    "fft_fftn": "a Fourier transform",
    "_fft_c2c": "a Fourier transform",
    "_fft_r2c": "a Fourier transform",
    "stft": "a Fourier transform",
    "topk": "a choice of the greatest values",
}
"""By the operator's name in ATen: what it is."""


def refuse_without_kernel(program: ExportedProgram, activations: str) -> None:
    """Raises ModelError for the first operator of a fused program that `generate` would refuse in the end."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None or not schema.name.startswith("aten::"):
            continue
        name = schema.name.removeprefix("aten::")
        if name not in WITHOUT or (
            WITHOUT[name] == CONVOLUTION and _becomes_int8(program, node, activations)
        ):
            continue
        where = module_path(node)
        shapes = ", ".join(str(list(shape_of(value))) for value in node.all_input_nodes[:2])
        raise ModelError(
            f"Operators that there are kernels for were expected; {WITHOUT[name]} (aten::{name} of {shapes})"
            f"{f' in {where}' if where else ''} has none.",
            hint=_advice(node, WITHOUT[name], activations),
        )


def refuse_complex(program: ExportedProgram) -> None:
    """Raises ModelError for the first value of a fused program that is of complex numbers, which no kernel takes."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op != "call_function" or not isinstance(value, torch.Tensor) or not value.is_complex():
            continue
        where = module_path(node)
        raise ModelError(
            f"Real numbers were expected; complex ones are computed ({node.target} gives {list(value.shape)})"
            f"{f' in {where}' if where else ''}, and there are no kernels for them.",
            hint="Rotary embeddings that turn pairs of real numbers have kernels: change the model's code to these.",
        )


def _becomes_int8(program: ExportedProgram, node: Node, activations: str) -> bool:
    weight = args(node)[1]
    return (
        activations == "static"
        and isinstance(weight, Node)
        and is_constant(program, weight)
        and is_between_turns(node)
    )


def _advice(node: Node, kind: str, activations: str) -> str:
    if kind == CONVOLUTION and activations != "static":
        return 'Convolutions are int8 at calibrated scales: take activations="static".'
    if kind == CONVOLUTION and shape_of(node)[:1] not in ((), (1,)):
        return "There are kernels for one image at a time: give an example with a first axis of 1."
    if kind == CONVOLUTION:
        return "There are kernels for one and two axes, constant weights and as much padding on both sides."
    return "docs/operators.md lists what is covered: change the model, or lower it differently and pass it with --pte."
