"""Running a program of one token a step in PyTorch, over sequences of tokens: what the guard compares.

A fused step keeps its cache in int8. To compare what fusion did, and nothing else, it can be run with a cache in
float32: the operators of the cache are then replaced by what they stand for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Graph, GraphModule, Interpreter, Node

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu

mcu = torch.ops.mcu


Observe = Callable[[Node, Any], Any]


class StepRunner:
    """A step `(input_ids int64[1,1], cache_position int64[1]) -> logits float32[1,1,V]`, run from an empty cache."""

    def __init__(
        self, program: ExportedProgram, *, float_cache: bool = False, observe: Observe | None = None
    ) -> None:
        """`float_cache`: keep in float32 what `mcu::` operators write to an int8 cache.

        `observe(node, value)` sees every value of every step; what it returns takes the value's place.
        """
        module = with_float_cache(program) if float_cache else program.graph_module
        self._module = module if observe is None else Observed(module, observe).run
        signature = program.graph_signature
        self._written = [s.target for s in signature.output_specs if s.kind == OutputKind.BUFFER_MUTATION]
        self._names = [None if s.kind == InputKind.USER_INPUT else s.target for s in signature.input_specs]
        self._inputs = [s.arg.name for s in signature.input_specs]
        self._constants: dict[str, torch.Tensor] = {}  # and the caches, empty
        for name in self._names:
            if name is not None:
                value = program.state_dict[name] if name in program.state_dict else program.constants[name]
                self._constants[name] = value.detach()
        for name in self._written:
            empty = torch.zeros_like(self._constants[str(name)])
            self._constants[str(name)] = empty.float() if float_cache and empty.dtype == torch.int8 else empty

    @torch.no_grad()
    def run(
        self, windows: torch.Tensor, states: Sequence[Mapping[str, torch.Tensor]] | None = None
    ) -> torch.Tensor:
        """Tokens int64[n, L] -> logits float32[n, L, V], token by token, each window from an empty cache.

        `states`: of each window what lies in buffers before it, and further inputs, by name.
        """
        before = states if states is not None else [{}] * len(windows)
        return torch.stack(
            [
                torch.cat([logits[:, 0] for logits in self._steps(window, state)])
                for window, state in zip(windows, before, strict=True)
            ]
        )

    @property
    def written(self) -> tuple[str, ...]:
        """The names of the caches."""
        return tuple(map(str, self._written))

    def empty(self) -> dict[str, torch.Tensor]:
        """The constants and empty caches by name, as `call` takes them."""
        return dict(self._constants)

    @torch.no_grad()
    def call(
        self, values: dict[str, torch.Tensor], tokens: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        """Tokens and positions int64[n] (1 of a step) -> the logits; the caches among `values` are then those written.

        `values` has further inputs, too, by name."""
        given = {"input_ids": tokens[None], "cache_position": positions}
        inputs = [
            values[name] if name is not None else given[argument] if argument in given else values[argument]
            for name, argument in zip(self._names, self._inputs, strict=True)
        ]
        *written, logits = self._module(*inputs)
        values.update(zip(self.written, written, strict=True))
        assert isinstance(logits, torch.Tensor)
        return logits

    def _steps(self, window: torch.Tensor, state: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        values, places = {**self.empty(), **state}, torch.arange(len(window))
        return [self.call(values, window[p : p + 1], places[p : p + 1]) for p in range(len(window))]


class Observed(Interpreter):
    """Runs a graph node by node."""

    def __init__(self, module: GraphModule, observe: Observe) -> None:
        super().__init__(module)
        self._observe = observe

    def run_node(self, n: Node) -> Any:
        """The node's value, or what the observer puts in its place."""
        return self._observe(n, super().run_node(n))


def with_float_cache(program: ExportedProgram) -> GraphModule:
    """The program's graph with the operators of an int8 cache replaced by their meaning in float32."""
    graph: Graph = copy.deepcopy(program.graph)
    for node in graph.nodes:
        if node.op == "call_function" and node.target in IN_FLOAT:
            node.target = IN_FLOAT[node.target]
    return GraphModule(program.graph_module, graph)


def _write_rows(cache: torch.Tensor, x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    """cache [1, H, S, D] with x [1, H, 1, D] at the position."""
    return cache.index_copy(2, rest[-1].reshape(1), x)


def _write_columns(cache: torch.Tensor, x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    """cache [1, H, D, S] with x [1, H, 1, D] at the position."""
    return cache.index_copy(3, rest[-1].reshape(1), x.transpose(2, 3))


def _attend(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *rest: Any
) -> tuple[torch.Tensor, None]:
    """q [1, H, 1, D]; keys [1, G, S, D] and values [1, G, D, S] up to the position, in which each head's group is read."""
    return _attend_shaped(q, keys, values, *rest[:-1], None, None, rest[-1], 0.0)


def _attend_shaped(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *rest: Any
) -> tuple[torch.Tensor, None]:
    """The same with scores that are capped at `cap` (0: not) and to which bias [H, S] is added, by distance; sinks [H] are scores
    without values."""
    position, bias, sinks, scale, cap = rest[-5:]
    visible = min(int(position), keys.shape[2] - 1) + 1
    repeats = q.shape[1] // keys.shape[1]
    keys = keys[:, :, :visible].repeat_interleave(repeats, 1)
    values = values[..., :visible].repeat_interleave(repeats, 1)
    scores = (q * scale) @ keys.transpose(2, 3)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    if bias is not None:
        bias = bias.reshape(bias.shape[-2:])
        scores = scores + bias[None, :, None, bias.shape[1] - visible :]
    if sinks is not None:
        scores = torch.cat([scores, sinks.reshape(1, -1, 1, 1)], -1)
    return torch.softmax(scores, -1)[..., :visible] @ values.transpose(2, 3), None


def _attend_sliding(
    q: torch.Tensor, q_sinks: torch.Tensor, q_before: torch.Tensor, *rest: Any
) -> tuple[torch.Tensor, None]:
    """The same over slots, of which those before `sinks`, those up to the slot and those behind it have a query each."""
    keys, values, *_, position, slot, sinks, scale, cap = rest
    visible = min(int(position), keys.shape[2] - 1) + 1
    repeats = q.shape[1] // keys.shape[1]
    keys = keys[:, :, :visible].repeat_interleave(repeats, 1)
    values = values[..., :visible].repeat_interleave(repeats, 1)
    each = [(query * scale) @ keys.transpose(2, 3) for query in (q, q_sinks, q_before)]
    where = torch.arange(visible)
    scores = torch.where(where < sinks, each[1], torch.where(where <= int(slot), each[0], each[2]))
    if cap:
        scores = cap * torch.tanh(scores / cap)
    return torch.softmax(scores, -1) @ values.transpose(2, 3), None


IN_FLOAT: dict[Any, Callable[..., Any]] = {
    mcu.cache_write.default: _write_rows,
    mcu.cache_write_dynamic.default: _write_rows,
    mcu.cache_write_columns.default: _write_columns,
    mcu.cache_write_columns_dynamic.default: _write_columns,
    mcu.cache_scale_write.default: lambda scales, *rest: scales,
    mcu.attention_s8.default: _attend,
    mcu.attention_s8_dynamic.default: _attend,
    mcu.attention_s8_shaped.default: _attend_shaped,
    mcu.attention_s8_dynamic_shaped.default: _attend_shaped,
    mcu.attention_s8_sliding.default: _attend_sliding,
    mcu.attention_s8_dynamic_sliding.default: _attend_sliding,
}
"""Operators of the int8 cache, and what each computes when the cache is float32."""
