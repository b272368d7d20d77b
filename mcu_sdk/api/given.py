"""What the functions of this API are given: a project, inputs, images, sounds and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import Asked, RunOptions, Start, sampling_in
from mcu_sdk.project.heard import Heard
from mcu_sdk.project.images import read_image
from mcu_sdk.project.opened import Project, open_project
from mcu_sdk.project.sounds import read_sound
from mcu_sdk.project.tensors import Borders, Inputs, borders_of, choose, prepare
from mcu_sdk.targets.texts import TextRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = Union["NDArray[Any]", Sequence["NDArray[Any]"], Mapping[str, "NDArray[Any]"]]
"""A model's inputs: the only one, all of them in the model's order, or by name."""

Texts = Sequence[TextRequest | str | tuple[str, str | None]]
"""Texts for an encoder; of two, the second is beside the first."""


def opened_of(project: str | Path | Project, board: str | None) -> Project:
    """A project, opened already or by its folder."""
    return project if isinstance(project, Project) else open_project(Path(project), board)


def check_alone(asked: Asked, inputs: object = None) -> None:
    """Raises UsageError for anything that is given beside inputs or a text."""
    if inputs is not None:
        raise UsageError("Inputs and a text exclude each other.", hint="Give one of them.")
    if any(asked.get(name) is not None for name in Start.__annotations__):
        raise UsageError(
            "Inputs, and texts for an encoder, exclude a prompt, token ids and a number of made-up steps.",
            hint="Give one of them.",
        )


def with_media(
    project: Project, inputs: Arrays | None, image: str | Path | None, audio: str | Path | None
) -> Arrays | None:
    """The inputs, or those that an image or a sound becomes. Raises UsageError for two of them, and what read_image and
    read_sound raise."""
    if sum(given is not None for given in (inputs, image, audio)) > 1:
        raise UsageError("Inputs, an image and a sound exclude each other.", hint="Give one of them.")
    if image is not None:
        return read_image(project, Path(image))
    return inputs if audio is None else read_sound(project, Path(audio))


def heard_in(project: Project, inputs: Arrays, options: RunOptions) -> Heard:
    """What an encoder takes, by its names."""
    borders = borders_of(project).inputs
    return Heard.of(project, choose(borders, _named(inputs), "an input"), **sampling_in(options))


def prepared_for(borders: Borders, inputs: Arrays) -> Inputs:
    """The inputs as the model takes them."""
    return prepare(borders.inputs, choose(borders.inputs, _named(inputs), "an input"))


def _named(inputs: Arrays) -> dict[str | None, Any]:
    """By name, by place, or of the only one."""
    if isinstance(inputs, Mapping):
        return dict(inputs.items())
    if isinstance(inputs, Sequence):
        return {str(number): array for number, array in enumerate(inputs)}
    return {None: inputs}


def requests_of(texts: Texts) -> list[TextRequest]:
    """Texts as an encoder's firmware is asked them."""
    return [
        each
        if isinstance(each, TextRequest)
        else TextRequest(each)
        if isinstance(each, str)
        else TextRequest(*each)
        for each in texts
    ]
