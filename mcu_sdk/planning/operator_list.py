"""docs/operators.md: the operators of others that have kernels, from the table of emitters."""

from __future__ import annotations

from mcu_sdk.operators.table import OWN
from mcu_sdk.planning.registry import load_emitters

_TITLES = {
    "cortex_m": "ExecuTorch's Cortex-M operators",
    "aten": "ATen",
    "dim_order_ops": "ExecuTorch's copies with an order of dimensions",
    "quantized_decomposed": "Quantize and dequantize of PT2E",
    "executorch_prim": "ExecuTorch's own",
    "delegate": "Delegates, by the name of their backend",
}
_HEAD = """# Operators

`mcu-sdk generate --pte` takes a file if each of its operators stands here; `mcu-sdk inspect` lists a file's. Every
overload of a name is meant, in its `out` or in-place form. What a kernel cannot take (another element type, a dim
order that is not row-major, more than six axes that do not join) is refused by name when the project is generated.

Stock lowerings that are tested (`CortexMQuantizer` and `CortexMPassManager` as they come): an MLP, convolutions with
pools, sums, differences and quotients, transformer encoder layers with ReLU and GELU, and a two-layer Llama with
`index_copy` taken off the quantizer's list of operators with shared scales. `cortex_m::quantized_linear` is taken in
both its forms, with `kernel_sum` (lowered for Helium) and with `bias` (lowered for other cores), on every core. Also
tested: GPT-2, Qwen3 and Gemma in float32, with nothing quantized and nothing fused. What earlier versions
of ExecuTorch wrote goes on reading (tests/fixtures). A ReLU or hardtanh that ExecuTorch 1.5.1's quantizer leaves behind
a division compares int8 numbers with a bound in real numbers; the file says so, the model does not: it is refused by name.

Convolutions with constant weights and without groups, and those of one channel, are computed as products of rows;
depthwise ones with windows of at most 3 x 3, strides of 1 or 2 and no dilation have a kernel of their own
([performance](performance.md)). Other groups, windows and dilations, and scales that make a number larger, have a plain
kernel, which takes several times as long.

The operators of this SDK, `mcu::`, which its own passes make, all have kernels: mcu_sdk/operators/table is their list,
mcu_sdk/operators/reference/ their specification.

What ExecuTorch's Ethos-U backend compiled runs on the board's NPU ([targets](targets.md)).

Arithmetic: integer operators give the integers of ExecuTorch's Python definitions; `cortex_m::softmax` is computed in
float32, as its definition is. Float32 operators have a fixed order of additions and functions of their own
([numerics](numerics.md)), so that every board gives the same bits; they are within the tolerances that
tests/kernels states of PyTorch. An index out of range that is only known at run time reads zeros and writes nothing.
"""


def operator_list() -> str:
    """The page's text, Markdown."""
    names_of: dict[str, list[str]] = {}
    for name in sorted(load_emitters()):
        names_of.setdefault(name.partition("::")[0], []).append(name)
    del names_of[OWN]
    parts = [_HEAD]
    for space in sorted(names_of, key=[*_TITLES].index):
        names = names_of[space]
        parts.append(f"\n## {_TITLES[space]}\n\n" + "".join(f"- `{name}`\n" for name in names))
    return "".join(parts)


if __name__ == "__main__":
    print(operator_list(), end="")
