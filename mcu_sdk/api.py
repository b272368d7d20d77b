"""The whole way from Python, as the command line goes it: what `mcu_sdk` offers (docs/python_api.md).

Every function raises what its parts raise, all of it `mcu_sdk.errors.McuSdkError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.board.board import load_board
from mcu_sdk.board.npu_target import ActivationBits, default_target
from mcu_sdk.board.target import choose_target
from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.model.load import find_checkpoint
from mcu_sdk.operators.layouts import layout_for
from mcu_sdk.options import CompileOptions
from mcu_sdk.project import build as building
from mcu_sdk.project import verify as verifying
from mcu_sdk.project.build import BuildResult
from mcu_sdk.project.manifest import read_places
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.project.report import Report, make_report
from mcu_sdk.project.runners import choose_simulator, device_runner
from mcu_sdk.recipes.compiled import CompiledModel, write_compiled
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.protocol import OnText, Request, Transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.project.verify import Verdict

__all__ = ["Built", "Ran", "Verified", "build", "compile_checkpoint", "run", "verify"]


@dataclass(frozen=True)
class Built:
    """A build and what it takes of the board's memories."""

    result: BuildResult
    report: Report


@dataclass(frozen=True)
class Ran:
    """What the firmware said (`transcript.text`, `.ids`, `.digest`), and the report on it."""

    transcript: Transcript
    report: Report


@dataclass(frozen=True)
class Verified:
    """What was compared (`verdict.ok`, `.checks`), and the report on the device's run."""

    verdict: Verdict
    report: Report


def compile_checkpoint(
    model: str | Path | None = None,
    options: CompileOptions | None = None,
    *,
    board: str | None = None,
    target: str | None = None,
    memory_mode: str | None = None,
    activation_bits: ActivationBits = 8,
    output: str | Path | None = None,
    use_cache: bool = True,
) -> CompiledModel:
    """Quantize a checkpoint and lower it to a .pte, ready for `generate --pte`.

    `model`: a folder or a hub id; None is the bundled one. `board`: weights are laid out for its core; `target`: one of its
    NPUs, or any where no board is named. `output`: where to write the .pte; what is known of it goes beside it.
    """
    from mcu_sdk.recipes import checkpoint as recipe

    if output is not None and Path(output).suffix != ".pte":
        raise UsageError(
            f"output is the path of a .pte; {str(output)!r} does not end so.", hint="Add .pte to it."
        )
    found = load_board(board) if board is not None else None
    if found is not None:
        npu = choose_target(found, target, memory_mode=memory_mode, activation_bits=activation_bits)
    else:
        npu = default_target(target, activation_bits) if target is not None else None
    if npu is None and activation_bits != 8:
        raise UsageError(
            "activation_bits is for an NPU; none is the target.", hint="Leave it out, or name a target."
        )
    if npu is not None:
        npu.check()
    layout = layout_for(helium=found is not None and found.core.helium and npu is None)
    chosen = replace(options or CompileOptions(), npu=npu, weight_layout=layout)
    checkpoint = find_checkpoint(str(model) if model is not None else None)
    compiled = recipe.compile_checkpoint(checkpoint, chosen, use_cache=use_cache)
    if output is not None:
        write_compiled(compiled, Path(output))
    return compiled


def build(project: str | Path, preset: str = "release", *, board: str | None = None) -> Built:
    """Build a preset of a generated project ("release", "debug", "host", "host-debug").

    `board`: the folder of the project's board, if it is none of the packaged ones and was moved.
    """
    opened = open_project(Path(project), board)
    result = building.build(opened.folder, preset)
    report = make_report(
        opened.manifest.name,
        opened.board,
        result,
        npu_details=opened.npu_details(),
        accuracy=opened.accuracy(),
        bound=opened.bound(),
    )
    return Built(result, report)


def run(
    project: str | Path | Project,
    *,
    prompt: str | None = None,
    ids: Sequence[int] | None = None,
    steps: int | None = None,
    tokens: int = 100,
    temperature: float = 0.0,
    top_k: int = 0,
    seed: int = 0,
    simulator: str | None = None,
    port: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    board: str | None = None,
    on_text: OnText | None = None,
) -> Ran:
    """Build a project's firmware and run it: in the board's simulator, in `simulator`, or on a board at `port`.

    `prompt` or `ids` for a language model, `steps` for one of tensors. `on_text` is called with each piece of text as
    it comes.
    """
    opened = _opened(project, board)
    request = _request(opened, prompt, ids, steps, tokens, temperature, top_k, seed)
    return run_request(opened, request, simulator=simulator, port=port, timeout=timeout, on_text=on_text)


def run_request(
    project: Project,
    request: Request,
    *,
    simulator: str | None = None,
    port: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    on_start: Callable[[], None] | None = None,
) -> Ran:
    """`run` for a request that is checked already; `on_start` is called when the build is done."""
    target = port or choose_simulator(project, simulator)
    # A board at a port runs what was flashed; its build still tells the sizes.
    built = building.build(project.folder, project.preset_for(target))
    device = device_runner(
        project, built.program, simulator=simulator, port=port, timeout=timeout, on_text=on_text
    )
    if on_start is not None:
        on_start()
    # The text shows that work goes on; where there is none to show, a clock does.
    with nullcontext() if on_text is not None else step(f"Running on {target}"):
        transcript = device(request)
    return Ran(transcript, _report(project, built, transcript, target))


def verify(
    project: str | Path | Project,
    *,
    prompt: str | None = None,
    ids: Sequence[int] | None = None,
    steps: int | None = None,
    tokens: int = 100,
    temperature: float = 0.0,
    top_k: int = 0,
    seed: int = 0,
    simulator: str | None = None,
    port: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    board: str | None = None,
    with_python: bool = True,
) -> Verified:
    """Run the same request on device and host, and the .pte in PyTorch, and compare.

    A difference is not raised but told: `verdict.ok`; `verdict.require()` raises it.
    """
    opened = _opened(project, board)
    request = _request(opened, prompt, ids, steps, tokens, temperature, top_k, seed)
    verdict = verifying.verify(
        opened,
        request,
        simulator=simulator,
        port=port,
        timeout=timeout,
        with_python=with_python,
        checkpoint=_checkpoint(opened),
    )
    target = port or choose_simulator(opened, simulator)
    agreement = "ok" if verdict.ok else "DIFFERS"
    return Verified(verdict, _report(opened, verdict.built, verdict.device, target, agreement))


def _checkpoint(project: Project) -> Callable[[Sequence[int]], NDArray[Any] | None] | None:
    """The logits of the checkpoint that the project was made from; None for a .pte, whose checkpoint is not known."""
    entry, accuracy = project.manifest.inputs.get("model"), project.accuracy()
    if entry is None:
        return None
    place = read_places(project.folder).get("model")
    model = {"packaged": None, "hub": entry.name}.get(entry.kind, str(place))

    def reference(tokens: Sequence[int]) -> NDArray[Any] | None:
        from mcu_sdk.recipes.reference import checkpoint_reference

        return checkpoint_reference(model, accuracy.checkpoint if accuracy else None, tokens)

    return reference


def _opened(project: str | Path | Project, board: str | None) -> Project:
    return project if isinstance(project, Project) else open_project(Path(project), board)


def _request(
    project: Project,
    prompt: str | None,
    ids: Sequence[int] | None,
    steps: int | None,
    tokens: int,
    temperature: float,
    top_k: int,
    seed: int,
) -> Request:
    return project.request(
        prompt=prompt,
        ids=tuple(ids) if ids is not None else None,
        steps=steps,
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
    )


def _report(
    project: Project, built: BuildResult | None, run: Transcript, target: str, agreement: str | None = None
) -> Report:
    more = {} if agreement is None else {"agreement": agreement}
    return make_report(
        project.manifest.name,
        project.board,
        built,
        run,
        target=target,
        npu=project.npu_on(target),
        npu_details=project.npu_details(),
        accuracy=project.accuracy(),
        bound=project.bound(),
        **more,
    )
