"""A plain `torch.nn.Module` -> a .pte for `mcu-sdk generate --pte`: the Python API (docs/python_api.md)."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mcu_sdk.board.npu_target import ActivationBits, NpuTarget, default_target
from mcu_sdk.console import quiet_libraries
from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.operators.layouts import WeightLayout, layout_for
from mcu_sdk.options import Activations
from mcu_sdk.recipes.compiled import CompiledModel, write_compiled
from mcu_sdk.recipes.stage import stage

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from mcu_sdk.lowering.border import Scale
    from mcu_sdk.lowering.ethos_u.compile import CompiledModule

Border = Literal["float", "int8"]
Inputs = tuple[Any, ...]


def compile_module(
    module: torch.nn.Module,
    example_inputs: torch.Tensor | Sequence[torch.Tensor],
    *,
    calibration: Iterable[torch.Tensor | Sequence[torch.Tensor]] = (),
    activations: Activations = "static",
    border: Border = "float",
    board: str | None = None,
    target: str | None = None,
    activation_bits: ActivationBits = 8,
    output: str | Path | None = None,
) -> CompiledModel:
    """Quantize a module to int8 and lower it to a .pte, ready for `mcu-sdk generate --pte`.

    `example_inputs`: one call's tensors; their shapes and types become the firmware's. `calibration`: more such
    calls, from which static scales are taken; without any, the example alone. `activations`: "static" keeps a chain
    of linears (with ReLUs or clamps between them) int8 from end to end, "dynamic" finds each linear's input scale at
    run time. `border`: "float" takes and gives float32; "int8" (static only) takes and gives int8, the scales being
    in `facts["inputs"]` and `facts["outputs"]` (real = scale * (q - zero_point)). `board`: a name or a folder, as
    `generate --board` takes; the weights are laid out for its core (every core can read them). `target`:
    an Ethos-U, such as "ethos-u55-128" (of `board`, where one is named), with `activation_bits` wide activations; what
    ExecuTorch's partitioner leaves to the processor is in `facts["cpu_operators"]` with its reasons. `output`: where
    to write the .pte; the names of its operations, and each delegate's TOSA graph, go beside it.

    The module is called as it is in `eval()`; it is left as it was. Raises UsageError for arguments that do not go
    together, BoardError for a board that does not exist, ModelError for a
    module that cannot be called, exported, quantized or lowered, or that `generate --pte` would refuse for want of a
    kernel, and OSError for an output that cannot be written.
    """
    _check(activations, border, output)
    _check_board(board, activations, border)
    npu = _npu(target, board, activation_bits)
    if npu is not None and (activations, border) != ("static", "float"):
        raise UsageError("An Ethos-U takes static activations and, here, float32 at the border.")
    layout = _layout(board)
    example = _call(example_inputs, "example_inputs")
    calls = [_call(inputs, "calibration") for inputs in calibration] or [example]
    with quiet_libraries():
        training = {part: part.training for part in module.modules()}
        module.eval()
        try:
            if npu is not None:
                compiled = compile_for_npu(module, calls, npu)
            else:
                compiled = compile_for_processor(
                    module, calls, example, activations=activations, border=border, layout=layout
                )
        finally:
            for part, was in training.items():
                part.training = was
        with stage("Compiling the plan"):
            from mcu_sdk.board.board import load_board
            from mcu_sdk.recipes.kernels import check_compiled

            check_compiled(compiled, None if board is None else load_board(board))
    if output is not None:
        write_compiled(compiled, Path(output))
    return compiled


def _check(activations: str, border: str, output: str | Path | None) -> None:
    for name, value, known in (
        ("activations", activations, ("static", "dynamic")),
        ("border", border, ("float", "int8")),
    ):
        if value not in known:
            raise UsageError(f"{name} is {known[0]!r} or {known[1]!r}, not {value!r}.")
    if border == "int8" and activations != "static":
        raise UsageError(
            "An int8 border needs calibrated scales; activations='dynamic' has none.",
            hint="Leave `activations` out, or take border='float'.",
        )
    if output is not None and Path(output).suffix != ".pte":
        raise UsageError(
            f"output is the path of a .pte; {str(output)!r} does not end so.", hint="Add .pte to it."
        )


def _check_board(board: str | None, activations: str, border: str) -> None:
    """Raises UsageError for float at the border or between linears on a core without FPU."""
    from mcu_sdk.board.board import load_board
    from mcu_sdk.board.core import lacks_fpu

    if board is not None and lacks_fpu(load_board(board)) and (activations, border) != ("static", "int8"):
        raise UsageError(
            f"The core of the board {board!r} has no FPU: it takes integers only, and activations={activations!r} with "
            f"border={border!r} leaves float.",
            hint='Take activations="static" and border="int8".',
        )


def _call(inputs: Any, name: str) -> Inputs:
    """The tensors of one call as a tuple."""
    import torch

    call = (inputs,) if isinstance(inputs, torch.Tensor) else inputs
    if not isinstance(call, (tuple, list)) or not all(isinstance(value, torch.Tensor) for value in call):
        raise UsageError(
            f"{name} holds tensors, or tuples of them, one for each argument of the module; {type(inputs).__name__} "
            "was given."
        )
    return tuple(call)


def _layout(board: str | None) -> WeightLayout:
    from mcu_sdk.board.board import load_board

    return layout_for(helium=board is not None and load_board(board).core.helium)


def _npu(target: str | None, board: str | None, bits: ActivationBits) -> NpuTarget | None:
    if target is None:
        return None
    from mcu_sdk.board.board import load_board
    from mcu_sdk.board.target import choose_target

    npu = (
        default_target(target, bits)
        if board is None
        else choose_target(load_board(board), target, activation_bits=bits)
    )
    if npu is not None:
        npu.check()
    return npu


def compile_for_npu(module: torch.nn.Module, calls: list[Inputs], npu: NpuTarget) -> CompiledModel:
    """A module in evaluation mode for an NPU; `calls[0]` is the example, all of them calibrate.

    Where the NPU is slow at products between activations, and the module has attention, that is the processor's.
    """
    from mcu_sdk.lowering.quick_passes import quick_passes
    from mcu_sdk.lowering.reproducible import reproducible

    _check_calibration(calls, calls[0])
    if not accelerator(npu.accelerator).kind.multiplies_activations:
        divided = _compile_divided(module, calls, npu)
        if divided is not None:
            return divided
    with stage(f"Quantizing and lowering for {npu.accelerator}"), reproducible(), quick_passes():
        from mcu_sdk.lowering.ethos_u.module import compile_module_npu

        compiled = compile_module_npu(module, calls[0], calls, npu)
    return _of_npu(module, calls, compiled.facts, compiled)


def _compile_divided(module: torch.nn.Module, calls: list[Inputs], npu: NpuTarget) -> CompiledModel | None:
    """A module whose attention stays on the processor; None for one that has none, or some that does not become int8."""
    from mcu_sdk.lowering.fuse import fuse
    from mcu_sdk.lowering.quick_passes import quick_passes
    from mcu_sdk.lowering.reproducible import reproducible

    program, guard = _exported_module(module, calls, calls[0], "static", module)
    with stage("Fusing, for what stays on the processor"):
        from mcu_sdk.lowering.ethos_u.divided import attends, is_dividable
        from mcu_sdk.lowering.fuse.unread_rows import drop_unread_rows

        if not attends(program):
            return None
        counts = fuse(program, None, None)
        drop_unread_rows(program)
        if not is_dividable(program) or not _has_kernels(program):
            return None
    guard |= _check_fused(program, calls, module)
    with stage(f"Quantizing and lowering for {npu.accelerator}"), reproducible(), quick_passes():
        from mcu_sdk.lowering.ethos_u.module import compile_divided_npu

        logits = getattr(module, "gives_logits", False) is True
        compiled = compile_divided_npu(program, calls, npu, reference=module, logits=logits)
    known = {"fused": asdict(counts), "guard": guard}
    return None if compiled is None else _of_npu(module, calls, compiled.facts | known, compiled)


def _has_kernels(program: ExportedProgram) -> bool:
    """Whether a processor can take whatever the NPU does not."""
    from mcu_sdk.lowering.without_kernel import refuse_complex, refuse_without_kernel
    from mcu_sdk.recipes.kernels import why_no_kernel

    try:
        refuse_without_kernel(program, "static", why_no_kernel)
        refuse_complex(program)
    except ModelError:
        return False
    return True


def _of_npu(
    module: torch.nn.Module, calls: list[Inputs], facts: dict[str, Any], compiled: CompiledModule
) -> CompiledModel:
    known = {
        "activations": "static",
        "parameters": sum(p.numel() for p in module.parameters()),
        "input_names": _input_names(module, len(calls[0])),
        **facts,
    }
    return CompiledModel(compiled.pte, compiled.names, known, compiled.delegates)


def compile_for_processor(
    module: torch.nn.Module,
    calls: list[Inputs],
    example: Inputs | None = None,
    *,
    calibration: list[Inputs] | None = None,
    activations: Activations = "static",
    border: Border = "float",
    layout: WeightLayout = "rows",
    reference: torch.nn.Module | None = None,
    logits: bool = False,
    record: bool = False,
) -> CompiledModel:
    """A module in evaluation mode for a processor; `example` (None: the first call) is exported with, `calls` are compared, and
    calibrate where there is no `calibration`.

    Each step is compared with `reference`, by default the module itself. `logits`: the outputs are scores of classes.
    `record`: with an ETRecord.
    """
    quantized, facts = quantized_module(
        module,
        calls,
        example,
        calibration=calibration,
        activations=activations,
        border=border,
        reference=reference,
        logits=logits,
    )
    scales: dict[str, Any] = {}
    if border == "int8":
        from mcu_sdk.lowering.border import int8_border

        inputs, outputs = int8_border(quantized)
        scales = {"inputs": list(map(_plain, inputs)), "outputs": list(map(_plain, outputs))}
    with stage("Lowering to ExecuTorch and planning memory"):
        from mcu_sdk.lowering.lower import lower
        from mcu_sdk.lowering.pack import pack_weights
        from mcu_sdk.lowering.quantize import int8_share

        shares = int8_share(quantized)
        packed = pack_weights(quantized, layout)
        lowered = lower(quantized, {}, record=record)
    facts = {**facts, **shares, "weight_layout": layout, "packed_weights": packed, **scales}
    return CompiledModel(lowered.pte, lowered.names, facts, etrecord=lowered.etrecord)


def quantized_module(
    module: torch.nn.Module,
    calls: list[Inputs],
    example: Inputs | None = None,
    *,
    calibration: list[Inputs] | None = None,
    activations: Activations = "static",
    border: Border = "float",
    reference: torch.nn.Module | None = None,
    logits: bool = False,
) -> tuple[ExportedProgram, dict[str, Any]]:
    """As `compile_for_processor`, up to the quantized program, and what there is to report."""
    from mcu_sdk.lowering.reproducible import reproducible

    example = calls[0] if example is None else example
    calibration = calls if calibration is None else calibration
    reference = module if reference is None else reference
    program, guard = _exported_module(module, calls, example, activations, reference)
    with stage("Fusing"):
        from mcu_sdk.lowering.fuse import fuse
        from mcu_sdk.lowering.without_kernel import refuse_complex, refuse_without_kernel
        from mcu_sdk.recipes.kernels import why_no_kernel

        counts = fuse(program, None, None)
        refuse_without_kernel(program, activations, why_no_kernel)
        refuse_complex(program)
    guard |= _check_fused(program, calls, reference)
    with stage("Quantizing to int8"), reproducible():
        from mcu_sdk.lowering.memoryless import without_memory
        from mcu_sdk.lowering.quantize import check_finite, quantize

        def calibrate(prepared: GraphModule) -> None:
            with without_memory(module):
                for call in calibration:
                    prepared(*call)

        quantized = quantize(
            program, activations, calibrate, requantize=activations == "static", int8_outputs=border == "int8"
        )
        check_finite(quantized)
    with stage("Comparing the quantized module with the module"), reproducible():
        from mcu_sdk.lowering.guard import module_accuracy

        graphs = program.module(check_guards=False), quantized.module(check_guards=False)
        accuracy = module_accuracy(reference, graphs[1], calibration, logits=logits, graphs=graphs)
    facts = {
        "activations": activations,
        "border": border,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "input_names": _input_names(module, len(example)),
        "fused": asdict(counts),
        "guard": guard,
        "accuracy": accuracy,
    }
    return quantized, facts


def _exported_module(
    module: torch.nn.Module,
    calls: list[Inputs],
    example: Inputs,
    activations: Activations,
    reference: torch.nn.Module,
) -> tuple[ExportedProgram, dict[str, float]]:
    """The exported program, and how far it is from `reference`."""
    from mcu_sdk.lowering.reproducible import reproducible

    with stage("Exporting the module"):
        from mcu_sdk.lowering.without_kernel import refuse_changing_shapes

        program = _export(module, example, activations)
        refuse_changing_shapes(program)
        _check_calibration(calls, example)
    with stage("Comparing the exported module with the module"), reproducible():
        from mcu_sdk.lowering.guard import check_module

        apart = check_module(reference, program.module(check_guards=False), calls, "exported")
    return program, {"exported": apart}


def _check_fused(
    program: ExportedProgram, calls: list[Inputs], reference: torch.nn.Module
) -> dict[str, float]:
    """How far a fused program is from `reference`."""
    from mcu_sdk.lowering.reproducible import reproducible

    with stage("Comparing the fused module with the module"), reproducible():
        from mcu_sdk.lowering.guard import check_module

        return {"fused": check_module(reference, program.module(check_guards=False), calls, "fused")}


def _input_names(module: torch.nn.Module, count: int) -> list[str]:
    """What forward() calls its first arguments; none where it does not name them one by one."""
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    names = [parameter.name for parameter in parameters if parameter.kind in by_position]
    return names[:count] if len(names) >= count else []


def _plain(scale: Scale | None) -> dict[str, Any] | None:
    return None if scale is None else asdict(scale)


def _export(module: torch.nn.Module, example: Inputs, activations: Activations) -> ExportedProgram:
    """The module's ATen graph for these shapes. Raises ModelError for whatever torch.export refuses."""
    import torch

    from mcu_sdk.lowering.export import branches_on_values, changes_weights
    from mcu_sdk.lowering.memoryless import without_memory

    try:
        with torch.no_grad(), without_memory(module):
            module(*example)
    except Exception as error:  # the module's own code raises all kinds
        raise ModelError(
            f"The module was expected to take its example inputs; it raises {type(error).__name__}: "
            f"{_first_line(error)}",
            hint="Give one tensor for each argument of forward(), in order.",
        ) from error
    try:
        with torch.no_grad():
            exported = torch.export.export(module, example, strict=False)
            program: ExportedProgram = exported.run_decompositions(_recurrent(exported, activations))
            return program
    except Exception as error:  # torch.export raises all kinds
        name = _class_of(module)
        if branches_on_values(error):
            raise ModelError(
                f"A module that does the same whatever it is given was expected; the code of {name} decides by the values of "
                "tensors, which torch.export cannot follow.",
                hint="Control flow that depends on values, and shapes that change, cannot become a fixed plan.",
            ) from error
        if changes_weights(error):
            raise ModelError(
                f"A module that leaves its weights as they are was expected; the code of {name} casts or moves some while it "
                "computes, which torch.export cannot follow.",
                hint="Cast them once, before it is compiled.",
            ) from error
        raise ModelError(
            f"A module that torch.export can trace was expected; {name} is none: "
            f"{type(error).__name__}: {_first_line(error)}",
            hint="Control flow that depends on values, and shapes that change, cannot become a fixed plan.",
        ) from error


def _class_of(module: torch.nn.Module) -> str:
    """The name of the module's class; of what it is put around where that is one of ours."""
    ours = __name__.partition(".")[0]
    classes = (type(each) for each in module.modules())
    return next(
        (each for each in classes if each.__module__.partition(".")[0] != ours), type(module)
    ).__name__


def _recurrent(program: ExportedProgram, activations: Activations) -> dict[Any, Any]:
    """What spells recurrent layers out, step by step: the products of each step are linears then. With static activations
    those stay whole that fuse/recurrent.py makes calls of."""
    import torch
    from torch._decomp import get_decompositions

    from mcu_sdk.lowering.fuse.recurrent import is_fusable

    aten = torch.ops.aten
    layers = (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)
    found = {
        node.target
        for node in program.graph.nodes
        if node.target in layers and not (activations == "static" and is_fusable(node))
    }
    return dict(get_decompositions(list(found))) if found else {}


def _check_calibration(calls: list[Inputs], example: Inputs) -> None:
    """Raises UsageError for a calibration call whose shapes or types are not the example's."""
    wanted = [(value.dtype, tuple(value.shape)) for value in example]
    for number, call in enumerate(calls):
        found = [(value.dtype, tuple(value.shape)) for value in call]
        if found != wanted:
            raise UsageError(
                f"Each call to calibrate on has to look like the example, {wanted}; number {number} is {found}.",
                hint="Split batches into calls of the example's shape.",
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
