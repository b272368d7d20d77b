"""Host against PyTorch over the same .pte, and PyTorch against the checkpoint that it came from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mcu_sdk.project.heard import Heard
from mcu_sdk.project.opened import Project
from mcu_sdk.project.verdict import Check
from mcu_sdk.project.verify_device import fed_tokens
from mcu_sdk.targets.protocol import Request, Transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mcu_sdk.npu.reference import TosaDelegate
    from mcu_sdk.planning.pte.read import Pte
    from mcu_sdk.project.host_library import HostModel
    from mcu_sdk.project.interpret import Interpreter

BOUND = 1 / 64
"""Largest difference between PyTorch and the host, as a share of the range (maximum - minimum) of a step's output.

Where PyTorch's own operators run, their sums have another order, so a value before a quantizer can come out on the
other side of a rounding border: one of the 127 steps that an int8 row has on either side of zero. The bound is two
such steps. Between `mcu::` operators and their kernels the difference is 0.
"""

Values = list["NDArray[Any]"]

TIMES, SLACK = 2, 0.05
"""What is allowed of a .pte against its checkpoint: TIMES the error stated at generation, and SLACK."""


class Reference(Protocol):
    """What the checkpoint computes that a project was made from (mcu_sdk.recipes.reference); None where it is not at hand."""

    def logits(self, tokens: Sequence[int], /) -> NDArray[Any] | None:
        """Of the first tokens, float32[n, V]: all or, where a cache slides, those up to a little beyond its end."""
        ...

    def pair_logits(self, source: Values, tokens: Sequence[int], /) -> NDArray[Any] | None:
        """Of a decoder whose encoder has taken arrays of its shapes: of each token, float32[n, V]."""
        ...

    def outputs(self, steps: Sequence[Sequence[NDArray[Any]]], /) -> list[list[NDArray[Any]]] | None: ...

    def sample(self, length: int, /) -> list[list[NDArray[Any]]] | None: ...


def compare_with_python(
    project: Project,
    request: Request,
    on_host: Transcript,
    library: Path,
    reference: Reference | None = None,
    heard: Heard | None = None,
) -> list[Check]:
    """Run model.pte in PyTorch, and the host's library, over the same steps; compare each step's outputs. `heard`: what an
    encoder takes, where that is no text.

    The library's digest has to be the transcript's, so that what is compared is what the firmware computed.
    """
    from mcu_sdk.planning.pte.read import read_pte
    from mcu_sdk.project.host_library import HostModel
    from mcu_sdk.project.interpret import Interpreter

    model = HostModel(library, project.accelerator)
    last: list[NDArray[Any]] = []
    pte = read_pte((project.folder / "model" / "model.pte").read_bytes())
    delegates = tosa_delegates(project.folder, len(pte.all_delegates))
    interpreter = Interpreter(pte, delegates[: len(pte.delegates)])
    chunks, source = 0, None
    if request.steps is not None:
        inputs = _made_up_inputs(model, request)
        ours = [array for values in inputs for array in model.run(values)]
    else:
        chunks = on_host.number("chunks") or 0
        inputs = _token_inputs(fed_tokens(on_host), chunks, model.prefill_rows)
        model.reset()
        if pte.encoder is not None:
            beside = Interpreter(pte.encoder, beside=interpreter)
            source, last = _encoded(project, pte, on_host, model, beside, heard)
        ours = model.read_prompt(fed_tokens(on_host), chunks)
    checks = []
    digest = f"{model.digest(ours):016x}"
    if digest != on_host.digest:
        found = f"the library's digest is {digest}, the program's {on_host.digest}"
        checks.append(Check("host library = host program", False, found))
    theirs = []
    if chunks and pte.prefill is not None:
        prefill = Interpreter(pte.prefill, delegates[len(pte.delegates) :], beside=interpreter)
        theirs = [output for values in inputs[:chunks] for output in prefill.run_stored(values)]
    theirs += [output for values in inputs[chunks:] for output in interpreter.run_stored([*values, *last])]
    per_step = len(ours) // len(inputs)
    checks.append(compare_outputs(ours, theirs, per_step))
    if request.steps is None:
        places = [int(values[1][-1]) for values in inputs]  # the position of each chunk's and step's logits
        before = on_host.start_ids or on_host.prompt_ids
        checks.append(compare_choices(ours, theirs, first=places.index(len(before) - 1)))
    accuracy = project.accuracy()
    if reference is not None and accuracy is not None:
        stated = accuracy.relative_rms_error
        if request.steps is not None:
            checks += compare_sample(interpreter, reference, stated)
        elif (right := _checkpoint_logits(reference, on_host, source)) is not None:
            wanted = [right[position] for position in places if position < len(right)]
            checks.append(compare_with_checkpoint(theirs[: len(wanted)], wanted, stated, choices=True))
    return checks


def _encoded(
    project: Project,
    pte: Pte,
    on_host: Transcript,
    model: HostModel,
    encoder: Interpreter,
    heard: Heard | None,
) -> tuple[Values, Values]:
    """Lets both encoders take what the device's took: the arrays of its shapes, and what every step is told of them."""
    import numpy as np

    if heard is not None:
        stored = heard.stored()
        model.encode_tensors(stored)
        encoder.run_stored(stored)
        return list(heard.arrays), [np.array([heard.last()])] if project.masks_rows else []
    stored, last = encoder_read(on_host.prompt_ids, pte)
    model.encode_source(on_host.prompt_ids)
    encoder.run_stored(stored)
    return [array[None] for array in stored], last


def compare_sample(interpreter: Interpreter, reference: Reference, stated: float) -> list[Check]:
    """The .pte of an encoder in PyTorch against its checkpoint, on inputs like those that it was calibrated on: of made-up
    ones nobody knows what its int8 scales are worth. Nothing where there is no checkpoint, or none of an encoder."""
    sample = reference.sample(int(interpreter.inputs[0].shape[-1]))
    right = reference.outputs(sample) if sample is not None else None
    if sample is None or right is None:
        return []
    theirs = [output for arrays in sample for output in _outputs(interpreter, arrays)]
    return [compare_with_checkpoint(theirs, [output for outputs in right for output in outputs], stated)]


def compare_with_checkpoint(
    theirs: Values, reference: Values, stated: float, *, choices: bool = False
) -> Check:
    """The .pte's outputs in PyTorch against the checkpoint's, as many flat arrays: relative RMS error over all, and, with
    `choices`, the share whose greatest element is the same.

    `stated`: the error that `generate` measured on its calibration data. TIMES it, and SLACK, are allowed: another
    text is another sample, and a few steps are a small one. A graph that is wrong is off by 0.3 and more.
    """
    import numpy as np

    ours, right = (np.concatenate(side).astype(np.float64) for side in (theirs, reference))
    error = float(np.sqrt(((ours - right) ** 2).mean() / max((right**2).mean(), 1e-60)))
    allowed = TIMES * stated + SLACK
    what = "logits" if choices else "outputs"
    found = f"{error:.3g} of the {what} (RMS; {stated:.3g} at generation, {allowed:.3g} allowed)"
    if choices:
        alike = np.mean([left.argmax() == row.argmax() for left, row in zip(theirs, reference, strict=True)])
        found += f", {100 * alike:.4g} % of choices alike"
    return Check("PyTorch = the checkpoint, within", error <= allowed, found)


def tosa_delegates(folder: Path, count: int) -> list[TosaDelegate]:
    """The delegates' TOSA graphs, where `generate` kept them: what they compute is then told without the simulator."""
    from mcu_sdk.npu.reference import TosaDelegate

    files = [folder / "model" / f"delegate_{number}.tosa" for number in range(count)]
    if not files or not all(file.is_file() for file in files):
        return []
    return [TosaDelegate(file.read_bytes()) for file in files]


def encoder_read(source: Sequence[int], pte: Pte) -> tuple[Values, Values]:
    """The inputs of a .pte's encoder for token ids, filled up, flat; and what every step is told: the place of the last of
    them."""
    import numpy as np

    from mcu_sdk.planning.language_model import PAD

    assert pte.encoder is not None
    length = pte.encoder.inputs[0].shape[-1]
    padding = pte.metadata.get(PAD)
    row = np.full(length, padding if isinstance(padding, int) else 0, np.int64)
    row[: len(source)] = source
    return [row, (np.arange(length) < len(source)).astype(np.int64)], [np.array([len(source) - 1])]


def _checkpoint_logits(
    reference: Reference, on_host: Transcript, source: Values | None
) -> NDArray[Any] | None:
    """Of each token that was read, the logits of the checkpoint; `source`: what its encoder took."""
    if source is None:
        return reference.logits(fed_tokens(on_host))
    return reference.pair_logits(source, fed_tokens(on_host))


def _token_inputs(fed: Sequence[int], chunks: int, rows: int) -> list[Values]:
    """The two inputs, flat, of each of the first `chunks` times `rows` tokens at once, then of each step."""
    import numpy as np

    starts = [*(i * rows for i in range(chunks)), *range(chunks * rows, len(fed)), len(fed)]
    return [[np.array(fed[start:end]), np.arange(start, end)] for start, end in pairwise(starts)]


def _made_up_inputs(model: HostModel, request: Request) -> list[Values]:
    from mcu_sdk.project.made_up import made_up_inputs

    model.reset()
    shapes = [(array.dtype.name, array.size) for array in model.inputs]
    return made_up_inputs(shapes, request.seed, request.steps or 0)


def _outputs(interpreter: Interpreter, arrays: Values) -> Values:
    """One step on arrays of the inputs' elements in the order of their shapes: so the outputs, flat."""
    import torch

    tensors = [
        torch.from_numpy(array).reshape(view.shape).to(view.dtype)
        for array, view in zip(arrays, interpreter.inputs, strict=True)
    ]
    return [output.contiguous().flatten().numpy() for output in interpreter.run(*tensors)]


def compare_outputs(ours: Values, theirs: Values, per_step: int = 1) -> Check:
    """Each output's largest difference, as a share of its range, within BOUND; `per_step` outputs make a step."""
    import numpy as np

    name = "host = PyTorch, within a bound"
    worst = 0.0
    for index, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        a, b = left.astype(np.float64), right.astype(np.float64)
        if a.size == 0:
            continue
        place = f"step {index // per_step + 1}"
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return Check(
                name, False, f"the first step that differs is {place}: infinities or NaNs on one side"
            )
        a, b = np.nan_to_num(a), np.nan_to_num(b)
        spread = float(a.max() - a.min()) or float(np.abs(a).max()) or 1.0
        share = float(np.abs(a - b).max()) / spread
        if share > BOUND:
            found = f"{share:.2e} of the range, {BOUND:.2e} allowed"
            return Check(name, False, f"the first step that differs is {place}: {found}")
        worst = max(worst, share)
    found = "equal in every output"
    if worst:
        found = f"largest difference {worst:.2e} of a step's range ({BOUND:.2e} allowed)"
    return Check(name, True, f"{found}, {len(ours) // per_step} steps")


def compare_choices(ours: Values, theirs: Values, first: int) -> Check:
    """The greedy token after each step from `first` on."""
    import numpy as np

    name = "greedy tokens = PyTorch's"
    for index in range(first, len(ours)):
        left, right = int(np.argmax(ours[index])), int(np.argmax(theirs[index]))
        if left != right:
            return Check(
                name, False, f"the first that differs is after step {index + 1}: {left}, PyTorch {right}"
            )
    return Check(name, True, f"{len(ours) - first} tokens")
