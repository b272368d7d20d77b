"""Everything that a project is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mcu_sdk.board.board import Board
from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.language_model import LanguageModel
from mcu_sdk.planning.pieces import Piece
from mcu_sdk.planning.text_model import TextModel
from mcu_sdk.project import manifest
from mcu_sdk.project.executorch import Executorch
from mcu_sdk.project.library import Format, Library, Source
from mcu_sdk.project.names import slug
from mcu_sdk.project.presets import Optimize


class RenderablePlan(Protocol):
    """What is used of `mcu_sdk.planning.plan.Plan`."""

    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def headers(self) -> tuple[str, ...]: ...
    def to_template(self, pieces: Sequence[Piece] = ...) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ProjectInputs:
    """Everything a project is made from.

    `name` is the model's name as the user knows it; only a cleaned form of it reaches paths and code. `tokenizer`
    is `DeviceTokenizer.to_template()`; None stands for no tokenizer; of a model that reads texts, `text_model` says how. `files` are more files for model/ ("names.json").
    `grammar` is mcu_sdk.model.grammar's `tables()`, of a language model whose answers follow one; `chat` is
    mcu_sdk.model.chat's `Chat.to_template()`, of one that holds conversations. `stops`: texts that end an answer.
    `options` and `inputs` go into the manifest; `places`, where the inputs lie, beside it. `npu`: what delegates were compiled for; `shared_layout`: the layout for a run in
    QEMU, which shares one region with the simulated NPU. `optimize` is what the release build's kernels are
    compiled for; the rest is outside of the steps and always compiled for size.
    With `profile` the firmware counts the instructions of each call of the plan. `executorch`: of a model that ExecuTorch's
    own runtime runs, in the place of its plan. `format`: what the model becomes, and
    `library_stack` the bytes of stack that a call of a library needs.
    """

    name: str
    board: Board
    layout: Layout
    plan: RenderablePlan
    pte: bytes
    npu: NpuTarget | None = None
    shared_layout: Layout | None = None
    language_model: LanguageModel | None = None
    text_model: TextModel | None = None
    tokenizer: Mapping[str, Any] | None = None
    grammar: Mapping[str, Any] | None = None
    chat: Mapping[str, Any] | None = None
    stops: tuple[bytes, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    options: Mapping[str, manifest.Option] = field(default_factory=dict)
    inputs: Mapping[str, manifest.Input] = field(default_factory=dict)
    places: Mapping[str, Path] = field(default_factory=dict)
    profile: bool = False
    optimize: Optimize = "speed"
    format: Format = "firmware"
    library_stack: int | None = None
    executorch: Executorch | None = None

    @property
    def library(self) -> Library | None:
        """What the model is called as a library; None for a firmware."""
        if self.format == "firmware":
            return None
        tokens, tables = self.language_model is not None, self.tokenizer or {"present": False}
        return Library.of(
            slug(self.name),
            self.optimize,
            is_language_model=tokens,
            has_tokenizer=tokens and tables["present"],
            has_grammar=self.grammar is not None,
            reads_texts=self.text_model is not None,
            source=self._source(),
        )

    def _source(self) -> Source | None:
        side = self.language_model.encoder if self.language_model is not None else None
        return None if side is None else "tensors" if side.tensors else "tokens"
