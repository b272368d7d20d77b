"""A fused decoder step -> the part that runs on the NPU: everything between the embedding row and the logits.

The fused graph (mcu_sdk.lowering.fuse) reads token ids and positions and keeps a cache. An NPU's delegate takes and
gives plain tensors. So what is looked up becomes inputs (embedding rows, rows of the RoPE and mask tables), the cache
becomes one input, and the new keys and values become one output.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.ethos_u.attention import Attend, CachedAttention, attend, rotate
from mcu_sdk.lowering.fuse.graph import args, aten, constant_name, constant_value, is_call, shape_of
from mcu_sdk.lowering.module_path import in_module, module_path

mcu = torch.ops.mcu


@dataclass(frozen=True)
class Lookup:
    """A delegate input that the CPU looks up: row `index` of `table`.

    `index`: "token" (by input_ids) or "position" (by cache_position). `table` float32[rows, n].
    """

    name: str
    index: str
    table: torch.Tensor


class NpuStep(nn.Module):
    """The body of a step as a float module over plain tensors, for any batch of B independent sequences.

    forward(rows..., mask, keys, values) -> (logits, new_keys, new_values):
      rows    one float32[B, 1, n] for each of `lookups`, in their order
      mask    float32[B, 1, S + 1]: 0 where a cached position is visible, something below every score where it is not; 0 for
              this step's own
      keys    float32[B, R, S, D]: all layers' cached keys, R the sum of the layers' kv heads
      values  float32[B, R, D, S]: all layers' cached values
      logits  float32[B, 1, V]
      new_keys, new_values  float32[B, R, 1, D], to be written at this step's position

    Cached rows are divided by `attentions[i].key_scale` and `value_scale`, so that one scale serves them all.
    `attend` is the form that attention has.
    """

    def __init__(self, program: ExportedProgram, cache_length: int, attend: Attend = attend) -> None:
        super().__init__()
        self.attend = attend
        self.program = program
        self.cache_length = cache_length
        self.observe_scores: Callable[[torch.Tensor], None] | None = None
        self.lookups: list[Lookup] = []
        self.attentions: list[CachedAttention] = []
        self._lookup_nodes: dict[Node, int] = {}
        self._rope_rows: dict[tuple[Node, Node], int] = {}
        self._attention_of: dict[Node, CachedAttention] = {}
        self._skipped: set[Node] = set()
        self._constants: dict[Node, str] = {}
        self._find_lookups()
        self._find_attentions()
        self._keep_constants()

    @property
    def cache_rows(self) -> int:
        """R, the number of [S, D] planes of each cache."""
        return sum(attention.kv_heads for attention in self.attentions)

    @property
    def head_dim(self) -> int:
        """D, one for all layers."""
        return self.attentions[0].head_dim

    def example_inputs(self, batch: int = 1) -> tuple[torch.Tensor, ...]:
        """Zeros of the right shapes: rows, mask, keys, values."""
        rows = [torch.zeros(batch, 1, lookup.table.shape[1]) for lookup in self.lookups]
        mask = torch.zeros(batch, 1, self.cache_length + 1)
        keys = torch.zeros(batch, self.cache_rows, self.cache_length, self.head_dim)
        return (*rows, mask, keys, keys.transpose(2, 3).contiguous())

    def linear_weights(self) -> dict[str, torch.Tensor]:
        """The buffers that linears read as their weights float32[N, K], by name."""
        weights = (args(n)[1] for n in self.program.graph.nodes if is_call(n, aten.linear.default))
        names = (self._constants[weight] for weight in weights if weight in self._constants)
        return {name: self.get_buffer(name) for name in names}

    def buffer_of(self, constant: Node) -> str | None:
        """The name of the buffer that a constant of the program became."""
        return self._constants.get(constant)

    def replace_attention(self, index: int, attention: CachedAttention) -> None:
        """Take another description of one layer's attention."""
        old = self.attentions[index]
        self.attentions[index] = attention
        for node, known in self._attention_of.items():
            if known is old:
                self._attention_of[node] = attention

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, mask, caches = inputs[:-3], inputs[-3], (inputs[-2], inputs[-1])
        values: dict[Node, Any] = {node: rows[index] for node, index in self._lookup_nodes.items()}
        new_keys: list[torch.Tensor] = []
        new_values: list[torch.Tensor] = []
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                if node in self._constants:
                    values[node] = getattr(self, self._constants[node])
            elif node.op == "output":
                logits = values[args(node)[0][-1]]
                return logits, torch.cat(new_keys, 1), torch.cat(new_values, 1)
            elif node in values or node in self._skipped:
                continue
            elif node in self._attention_of:
                attention = self._attention_of[node]
                query, keys, held = (values[n] for n in (attention.query, attention.keys, attention.values))
                with in_module(module_path(node)):
                    out, key_rows, value_rows = self.attend(
                        attention, query, keys, held, mask, caches, self.observe_scores
                    )
                values[node] = (out, None)
                new_keys.append(key_rows)
                new_values.append(value_rows)
            else:
                with in_module(module_path(node)):
                    values[node] = self._compute(node, values, rows)
        raise AssertionError("a graph ends with its output")

    def _compute(self, node: Node, values: dict[Node, Any], rows: Sequence[torch.Tensor]) -> Any:
        if is_call(node, mcu.rope.default):
            return rotate(values[args(node)[0]], rows[self._rope_rows[args(node)[1], args(node)[2]]])
        arguments = list(torch.fx.node.map_arg(args(node), lambda n: values[n]))
        keywords = torch.fx.node.map_arg(node.kwargs, lambda n: values[n])
        if node.target in RESHAPES and isinstance(arguments[1], (list, tuple)):
            return arguments[0].reshape([rows[0].shape[0], *shape_of(node)[1:]])
        target: Callable[..., Any] = REPLACED.get(node.target, node.target)  # type: ignore[arg-type]
        return target(*arguments, **keywords)

    def _find_lookups(self) -> None:
        """Embeddings by token or by position, and the RoPE tables, which get cos and sin side by side."""
        for node in self.program.graph.nodes:
            if is_call(node, aten.embedding.default):
                index = args(node)[1]
                kind = "token" if index.name == "input_ids" else "position"
                self._lookup_nodes[node] = self._add_lookup(
                    f"{kind}_row", kind, constant_value(self.program, args(node)[0]).float()
                )
            elif is_call(node, mcu.rope.default):
                tables = args(node)[1], args(node)[2]
                if tables not in self._rope_rows:
                    cosine, sine = (constant_value(self.program, table).float() for table in tables)
                    rows = torch.cat([cosine, cosine, -sine, sine], 1)
                    self._rope_rows[tables] = self._add_lookup("rope_row", "position", rows)

    def _add_lookup(self, name: str, index: str, table: torch.Tensor) -> int:
        count = sum(lookup.name.startswith(name) for lookup in self.lookups)
        unique = name if count == 0 else f"{name}_{count}"
        self.lookups.append(Lookup(unique, index, table))
        return len(self.lookups) - 1

    def _find_attentions(self) -> None:
        first_row = 0
        for node in self.program.graph.nodes:
            if not is_call(node, mcu.attention_s8.default):
                continue
            query, keys, values, key_scale, value_scale, _, scale = args(node)
            attention = CachedAttention(
                query=query,
                keys=args(keys)[1],
                values=args(values)[1],
                key_scale=constant_value(self.program, key_scale),
                value_scale=constant_value(self.program, value_scale),
                scale=float(scale),
                heads=shape_of(query)[1],
                first_row=first_row,
            )
            if self.attentions and attention.head_dim != self.head_dim:
                raise ModelError(
                    f"Heads of one size were expected for the NPU's cache; found {self.head_dim} and "
                    f"{attention.head_dim}.",
                    hint="Run this model on the CPU: choose a Cortex-M target.",
                )
            first_row += attention.kv_heads
            self.attentions.append(attention)
            self._attention_of[node] = attention
            self._skipped |= {keys, values}
        if not self.attentions:
            raise ModelError(
                "A decoder with cached attention was expected for the NPU; no attention over a cache was recognised.",
                hint="Lower the model yourself and pass the result with --pte.",
            )

    def _keep_constants(self) -> None:
        """Buffers for the constants that calls read; lookups' tables stay outside."""
        for node in self.program.graph.nodes:
            if node.op != "placeholder" or constant_name(self.program, node) is None:
                continue
            readers = [u for u in node.users if u not in self._lookup_nodes and u not in self._skipped]
            if all(is_call(u, mcu.rope.default, mcu.attention_s8.default) for u in readers):
                continue
            name = f"c_{node.name}"
            self.register_buffer(name, constant_value(self.program, node).float())
            self._constants[node] = name


def _normalized(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * weight; the mean's division is moved into the weight: one operation less."""
    size = x.shape[-1]
    # As two operands, of which ExecuTorch widens each for the square alone: Vela then makes one operation of it.
    root = torch.rsqrt((x * x.clone()).sum(-1, keepdim=True) + eps * size)
    normalized: torch.Tensor = x * root * (weight * math.sqrt(size))
    return normalized


def _rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return _normalized(x, weight, eps)


def _layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    mean = x.sum(-1, keepdim=True) * (1 / x.shape[-1])
    return _normalized(x - mean, weight, eps) + bias


def _silu(x: torch.Tensor) -> torch.Tensor:
    """One table. ExecuTorch takes what a product gives for as wide as what it reads, int8; a multiplication's is what it says."""
    return torch.nn.functional.silu(x * 1.0)


def _gelu(x: torch.Tensor, tanh: bool) -> torch.Tensor:
    return torch.nn.functional.gelu(x, approximate="tanh" if tanh else "none")


REPLACED: dict[Any, Callable[..., Any]] = {
    mcu.rms_norm.default: _rms_norm,
    mcu.layer_norm.default: _layer_norm,
    mcu.silu.default: _silu,
    mcu.gated_silu.default: lambda gate, up: _silu(gate) * up,
    mcu.gelu.default: _gelu,
    mcu.gated_gelu.default: lambda gate, up, tanh: _gelu(gate, tanh) * up,
    operator.getitem: operator.getitem,
}
"""`mcu::` operators as plain PyTorch, which ExecuTorch's quantizer for the NPU knows."""

RESHAPES = {aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.unsqueeze.default}
