"""A quantized graph -> one Ethos-U delegate through ExecuTorch's partitioner and Vela, or the reasons why not."""

from __future__ import annotations

import contextlib
import io
import logging
import operator
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.backends.arm.ethosu import EthosUCompileSpec, EthosUPartitioner
from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir.lowered_backend_module import LoweredBackendModule
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.console import step
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.ethos_u.decomposed_once import decomposed_once
from mcu_sdk.lowering.ethos_u.opaque import make_opaque
from mcu_sdk.npu.artifact import DelegateArtifact
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.vela import VelaSummary, read_summary
from mcu_sdk.npu.vela_ini import require_vela
from mcu_sdk.operators.table import find

ARTIFACT_FOLDER = "debug_artifact_path"
"""ExecuTorch's name for the compile spec that says where intermediate files go."""


@dataclass(frozen=True)
class Scale:
    """How a tensor at the delegate's border is stored: real = (integer - zero_point) * scale."""

    scale: float
    zero_point: int
    quant_min: int
    quant_max: int
    dtype: torch.dtype

    def quantize(self, value: torch.Tensor) -> torch.Tensor:
        """The integers of a float tensor, in `dtype`."""
        quantized: torch.Tensor = torch.ops.quantized_decomposed.quantize_per_tensor.default(
            value, self.scale, self.zero_point, self.quant_min, self.quant_max, self.dtype
        )
        return quantized

    def dequantize(self, value: torch.Tensor) -> torch.Tensor:
        """float32 of a tensor of integers."""
        numbers: torch.Tensor = torch.ops.quantized_decomposed.dequantize_per_tensor.default(
            value, self.scale, self.zero_point, self.quant_min, self.quant_max, self.dtype
        )
        return numbers


@dataclass(frozen=True)
class Delegate:
    """A whole graph as one callable of integers.

    `module` takes integer tensors, one for each of `arguments` (indices of the graph's inputs), and returns a tuple;
    the graph's output i is its element `results[i]`. `inputs[i]` and `outputs[i]` belong to the graph's input and
    output i.
    """

    module: torch.nn.Module
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    inputs: tuple[Scale, ...]
    outputs: tuple[Scale, ...]
    artifact: DelegateArtifact


def compile_spec(target: NpuTarget, folder: Path | None = None) -> EthosUCompileSpec:
    """ExecuTorch's description of the target; Vela leaves its files in `folder`."""
    spec = EthosUCompileSpec(
        target.accelerator,
        system_config=target.system_config,
        memory_mode=target.memory_mode,
        extra_flags=["--verbose-performance", "--enable-debug-db"],
    )
    if folder is not None:
        spec.dump_intermediate_artifacts_to(str(folder))
    return spec


def partition(
    program: ExportedProgram, target: NpuTarget
) -> tuple[EdgeProgramManager, list[DelegateArtifact]]:
    """Lower what the NPU takes; the rest stays in the edge program. The artifacts are those of the delegates' calls in
    the graph's order, and named by it.

    Raises ModelError, naming the operator where ExecuTorch or Vela does.
    """
    require_vela()
    with tempfile.TemporaryDirectory(prefix="mcu-sdk-vela-") as temporary:
        return _partition(program, target, Path(temporary))


def _partition(
    program: ExportedProgram, target: NpuTarget, folder: Path
) -> tuple[EdgeProgramManager, list[DelegateArtifact]]:
    spec = compile_spec(target, folder)
    config = EdgeCompileConfig(_check_ir_validity=False)
    printed = io.StringIO()
    compiled: dict[_Streams, tuple[bytes, VelaSummary]] = {}
    with (
        step("Lowering to TOSA"),
        _vela_watched(compiled),
        decomposed_once(),
        _quiet(),
        contextlib.redirect_stdout(printed),
    ):
        try:
            edge = to_edge_transform_and_lower(
                program, partitioner=[EthosUPartitioner(spec)], compile_config=config
            )
        except SystemExit as error:  # Vela's own command line
            raise _refused(target, f"Vela ended with status {error.code}", printed.getvalue()) from error
        except Exception as error:
            raise _refused(
                target, f"{type(error).__name__}: {_first_line(error)}", printed.getvalue()
            ) from error
    _forget_folder(edge)
    make_opaque(edge.exported_program().graph_module)
    return edge, _artifacts(edge, compiled)


_Streams = tuple[bytes, bytes]
"""The commands and the encoded weights of a delegate, by which its call is known."""


def _artifacts(
    edge: EdgeProgramManager, compiled: Mapping[_Streams, tuple[bytes, VelaSummary]]
) -> list[DelegateArtifact]:
    """Of each call its graph and Vela's estimates: the order of compilation is not that of the calls."""
    program = edge.exported_program()
    found: list[DelegateArtifact] = []
    for node in program.graph.nodes:
        if node.target is torch.ops.higher_order.executorch_call_delegate:
            lowered = getattr(program.graph_module, str(node.args[0].target))
            blob = read_blob(lowered.processed_bytes)
            tosa, summary = compiled[blob.commands, blob.weights]
            found.append(DelegateArtifact(f"delegate{len(found)}", tosa, summary))
    return found


def _forget_folder(edge: EdgeProgramManager) -> None:
    """Take the folder of Vela's files out of what the .pte keeps: it is another one each time."""
    for module in edge.exported_program().graph_module.modules():
        if isinstance(module, LoweredBackendModule):
            module.compile_specs[:] = [spec for spec in module.compile_specs if spec.key != ARTIFACT_FOLDER]


def lower_whole(program: ExportedProgram, target: NpuTarget, name: str) -> Delegate:
    """The quantized program as exactly one delegate, its border in integers.

    Raises ModelError naming the operators that would stay on the processor.
    """
    edge, artifacts = partition(program, target)
    lowered = edge.exported_program()
    left = operators_left(lowered)
    calls = [n for n in lowered.graph.nodes if n.target is torch.ops.higher_order.executorch_call_delegate]
    if left or len(calls) != 1:
        named = ", ".join(sorted({entry["operator"] for entry in left})) or "none"
        raise ModelError(
            f"One delegate for {target.accelerator} was expected; the partitioner made {len(calls)} and left "
            f"{named} on the processor.",
            hint="--debug shows the partitioner's report.",
        )
    return _border(lowered, calls[0], replace(artifacts[0], name=name))


def operators_left(program: ExportedProgram) -> list[dict[str, str]]:
    """{operator, name} of each call outside the delegates; quantizing at their borders does not count."""
    calls = [n for n in program.graph.nodes if n.op == "call_function"]
    return [
        {"operator": operator_name(node), "name": node.name}
        for node in calls
        if node.target not in (operator.getitem, torch.ops.higher_order.executorch_call_delegate)
        and not _is_border(node)
    ]


def _is_border(node: Node) -> bool:
    """Whether a node stands between the processor's floats and a delegate's integers."""
    operator, _, overload = _full_name(node).partition(".")
    row = find(operator, overload)
    return row is not None and row.border


def operator_name(node: Node) -> str:
    """aten.bmm.default for an edge or aten overload."""
    return _full_name(node).replace("::", ".")


def _full_name(node: Node) -> str:
    """aten::bmm.default for an edge or aten overload; the name of any other callable."""
    name = getattr(node.target, "name", None)
    return str(name() if callable(name) else name or node.target)


def _border(program: ExportedProgram, call: Node, artifact: DelegateArtifact) -> Delegate:
    users = {name: index for index, name in enumerate(program.graph_signature.user_inputs)}
    inputs: dict[int, Scale] = {}
    arguments = []
    for quantize in call.args[1:]:
        assert isinstance(quantize, Node) and isinstance(quantize.args[0], Node), quantize
        index = users[quantize.args[0].name]
        inputs[index] = _scale(quantize)
        arguments.append(index)
    outputs, results = [], []
    for value in program.graph.output_node().args[0]:
        assert isinstance(value, Node) and isinstance(value.args[0], Node), value
        outputs.append(_scale(value))
        results.append(int(value.args[0].args[1]))  # type: ignore[arg-type]
    module = getattr(program.graph_module, str(call.args[0].target))  # type: ignore[union-attr]
    ordered = tuple(inputs[index] for index in range(len(users)))
    return Delegate(module, tuple(arguments), tuple(results), ordered, tuple(outputs), artifact)


def _scale(node: Node) -> Scale:
    _, scale, zero_point, low, high, dtype = node.args[:6]
    return Scale(float(scale), int(zero_point), int(low), int(high), dtype)  # type: ignore[arg-type]


def _refused(target: NpuTarget, reason: str, printed: str) -> ModelError:
    named = re.findall(r"(?:aten|tosa|quantized_decomposed)[.:_]+[a-zA-Z_0-9.]+", reason + printed)
    operator_text = f" at {named[-1]}" if named else ""
    return ModelError(
        f"The model could not be compiled for {target.accelerator}{operator_text}: {reason[:400]}",
        hint="--debug shows the whole story. A Cortex-M target runs the same model on the processor.",
    )


def _first_line(error: Exception) -> str:
    """What went wrong at the root of a chain of exceptions."""
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    return (str(root).strip().splitlines() or [type(root).__name__])[0]


@contextlib.contextmanager
def _vela_watched(compiled: dict[_Streams, tuple[bytes, VelaSummary]]) -> Iterator[None]:
    """Show Vela's part, which ExecuTorch calls from the midst of lowering, as a step of its own, and keep what it wrote:
    the files of each delegate are written over by the next one's.

    ExecuTorch tells nobody when it begins; what it calls then is Vela's public entry point.
    """
    from ethosu.vela import vela

    compile: Any = vela.main

    def watched(arguments: list[str]) -> Any:
        with step("Compiling the delegate with Vela"):
            result = compile(arguments)
        graph = Path(arguments[-1])
        with np.load(graph.parent / "output" / f"{graph.stem}_vela.npz", allow_pickle=False) as data:
            streams = data["cmd_data"].tobytes(), data["weight_data"].tobytes()
        compiled[streams] = graph.read_bytes(), read_summary(graph.parent / "output")
        return result

    vela.main = watched
    try:
        yield
    finally:
        vela.main = compile


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ExecuTorch's Arm passes warn of every redundant expand; our own logs stay."""
    loggers: list[Any] = [logging.getLogger("executorch.backends.arm")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
