"""A generated project as the commands see it: its manifest and its board."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from mcu_sdk.board.board import SIMULATED_NPU_PRESET, Board, load_board
from mcu_sdk.errors import BoardError, UsageError
from mcu_sdk.planning.bound import Bound, bound_from_json
from mcu_sdk.planning.experts import Experts, experts_from_json
from mcu_sdk.planning.step_choice import StepChoice, choice_from_json
from mcu_sdk.project.accuracy import Accuracy, accuracy_of, read_facts
from mcu_sdk.project.asked import Asked, Sampling, sampling_in
from mcu_sdk.project.effect import check_effect
from mcu_sdk.project.manifest import Input, Manifest, read_manifest, read_places
from mcu_sdk.project.npu_details import NpuDetails, read_details
from mcu_sdk.targets.protocol import Request
from mcu_sdk.targets.runner import RUNNERS, runner

DEFAULT_STEPS = 3
"""Steps on made-up inputs, for a model that takes tensors."""


@dataclass(frozen=True)
class Project:
    """A project's folder, its manifest and its board."""

    folder: Path
    manifest: Manifest
    board: Board

    @property
    def is_language_model(self) -> bool:
        """Whether it takes tokens and gives logits."""
        return self.manifest.model.is_language_model

    @property
    def holds_chats(self) -> bool:
        """Whether its firmware knows a chat template."""
        return self.manifest.model.chat

    @property
    def answers_texts(self) -> bool:
        """Whether it is a language model whose encoder reads what the answer is about."""
        return self.manifest.model.source_length > 0

    @property
    def answers_tensors(self) -> bool:
        """Whether it is a language model whose encoder takes tensors, a sound, that the answer is about."""
        return self.manifest.model.source_tensors > 0

    @property
    def masks_rows(self) -> bool:
        """Whether the last of these says which rows of the encoder count."""
        return self.answers_tensors and self.manifest.model.source_masked

    @property
    def takes_texts(self) -> bool:
        """Whether it is a model of tensors whose firmware fills them from texts."""
        return not self.is_language_model and bool(self.manifest.model.tokenizer)

    @property
    def accelerator(self) -> str | None:
        """The NPU that parts of the model were compiled for, by Vela's name."""
        return self.manifest.model.accelerator

    def npu_details(self) -> NpuDetails | None:
        """What `generate` knew of the NPU's part."""
        return read_details(self.folder / "model") if self.accelerator is not None else None

    def accuracy(self) -> Accuracy | None:
        """What quantization cost when the project was generated."""
        return accuracy_of(read_facts(self.folder / "model"))

    def bound(self) -> Bound | None:
        """How many steps a second the board allows at most, as it was generated; None without a clock."""
        return bound_from_json(read_facts(self.folder / "model").get("bound"))

    def experts(self) -> Experts | None:
        """What a step reads of a mixture of experts; None for a model without."""
        return experts_from_json(read_facts(self.folder / "model").get("experts"))

    def decode(self) -> StepChoice | None:
        """Where a decoder's step runs beside an NPU, and why; None for other models, and for older projects."""
        return choice_from_json(read_facts(self.folder / "model").get("decode"))

    @property
    def shortest_answer(self) -> int:
        """The tokens of the shortest answer that its grammar allows; 0 without one."""
        told = read_facts(self.folder / "model").get("grammar")
        shortest = told.get("shortest") if isinstance(told, dict) else 0
        return shortest if type(shortest) is int else 0

    def npu_on(self, target: str) -> str | None:
        """What stands for the NPU on `target` (a simulator, a port, or this computer), for a report; None without one."""
        if self.accelerator is None:
            return None
        if target == "qemu" and self.board.npu is not None and self.board.npu.shared is not None:
            shared = self.board.npu.shared
            return f"{self.accelerator}, simulated; for this run arena and weights lie in {shared}, which QEMU shares"
        if target == "host":
            return f"{self.accelerator}, simulated"
        return self.accelerator

    def preset_for(self, target: str) -> str:
        """The preset whose firmware runs on `target`: a simulator, a port, or this computer."""
        if target == "host" and not self.board.is_host:
            return "host"
        simulated = self.accelerator is not None and target in RUNNERS and runner(target).simulates_npu
        return SIMULATED_NPU_PRESET if simulated and not self.board.is_host else "release"

    @property
    def host_preset(self) -> str:
        """What a board's firmware is compared with; a native board's release build with its sanitized one."""
        return "host-debug" if self.board.is_host else "host"

    def request(self, **asked: Unpack[Asked]) -> Request:
        """The request for what the user gave; without a prompt a language model starts from its first token.

        Raises UsageError for what does not go with this model.
        """
        prompt, ids, steps = asked.get("prompt"), asked.get("ids"), asked.get("steps")
        if self.answers_tensors:
            raise self.no_prompt()
        if sum(given is not None for given in (prompt, ids, steps)) > 1:
            raise UsageError(
                "--prompt, --ids and --steps exclude each other.", hint="Give one of them, or none."
            )
        sampling = sampling_in(asked)
        changed = [name for name, value in sampling.items() if value != getattr(Request, name)]
        self.check_effect(changed, sampling.get("temperature", Request.temperature))
        if not self.is_language_model:
            if prompt is not None or ids is not None:
                other = (
                    "--text gives it a text" if self.takes_texts else "--steps N runs it on N made-up inputs"
                )
                raise UsageError(
                    f"{self.manifest.name} takes tensors, not a prompt.",
                    hint=f"Leave --prompt and --ids out; {other}.",
                )
            return Request(
                steps=DEFAULT_STEPS if steps is None else steps, seed=sampling.get("seed", Request.seed)
            )
        if steps is not None:
            raise UsageError(
                f"{self.manifest.name} is a language model.", hint="Use --prompt or --ids, not --steps."
            )
        if prompt is None and ids is None and self.answers_texts:
            raise UsageError(
                f"The encoder of {self.manifest.name} reads a text, about which the answer is; none was given.",
                hint="Give --text, or its token ids with --ids.",
            )
        if prompt is None and ids is None:
            ids = (max(self.manifest.model.bos_id, 0),)
        self._check_ids(ids or ())
        return self._checked(Request(text=prompt, ids=None if ids is None else tuple(ids), **sampling))

    def _checked(self, request: Request) -> Request:
        """A language model's. Raises UsageError for what does not go with this one."""
        request.encode()
        for token, _ in request.biases:
            self._check_id(token)
        self._check_stops(request)
        if 0 < request.tokens < self.shortest_answer:
            raise UsageError(
                f"The shortest answer that the project's grammar allows has {self.shortest_answer} tokens; --tokens is "
                f"{request.tokens}.",
                hint="Give more --tokens.",
            )
        return request

    def no_prompt(self) -> UsageError:
        """Of a model whose answers are about a sound."""
        return UsageError(
            f"{self.manifest.name} answers what its encoder hears, not a prompt.",
            hint="Give it --audio FILE.wav, or its encoder's tensors with --input.",
        )

    def request_of_inputs(self, **sampling: Unpack[Sampling]) -> Request:
        """The request for an answer about what was put into the encoder's inputs. Raises UsageError for what does not go
        with this model."""
        changed = [name for name, value in sampling.items() if value != getattr(Request, name)]
        self.check_effect(changed, sampling.get("temperature", Request.temperature))
        return self._checked(Request(of_inputs=True, **sampling))

    def check_effect(
        self,
        named: Collection[str],
        temperature: float,
        *,
        given_inputs: bool = False,
        given_text: bool = False,
    ) -> None:
        """Raises UsageError for one of SAMPLING that was named and makes no difference to this model."""
        check_effect(
            self.manifest.name,
            named,
            is_language_model=self.is_language_model,
            temperature=temperature,
            given_inputs=given_inputs,
            given_text=given_text,
        )

    def _check_stops(self, request: Request) -> None:
        if request.stop and not self.manifest.model.tokenizer:
            raise UsageError(
                f"{self.manifest.name} has no tokenizer, so no text ends its answers.",
                hint="Leave --stop out, or generate it with --tokenizer.",
            )

    def _check_id(self, token: int) -> None:
        if not 0 <= token < self.manifest.model.vocab_size:
            raise UsageError(
                f"A token id is a number from 0 to {self.manifest.model.vocab_size - 1}, not {token}."
            )

    def _check_ids(self, ids: Sequence[int]) -> None:
        for token in ids:
            self._check_id(token)
        model = self.manifest.model
        if self.answers_texts and len(ids) > model.source_length:
            raise UsageError(
                f"The text has {len(ids)} tokens; the model's encoder reads {model.source_length}.",
                hint="Give a shorter one, or generate with a longer --max-encoder-len.",
            )
        if not self.answers_texts and len(ids) > model.max_sequence_length:
            raise UsageError(
                f"The prompt has {len(ids)} tokens; the model's cache holds {model.max_sequence_length}.",
                hint="Give a shorter prompt, or generate with a longer --max-cache-len.",
            )


def open_project(folder: Path, board: str | None = None) -> Project:
    """Read a generated project. `board` names its board where the manifest's name is none of the packaged ones.

    Raises UsageError for a folder that is no project, BoardError for a board that is not found.
    """
    manifest = read_manifest(folder)
    place = read_places(folder).get("board", manifest.board)
    packaged = manifest.inputs.get("board", Input("packaged", manifest.board)).kind == "packaged"
    try:
        found = load_board(board or (manifest.board if packaged else place))
    except BoardError as error:
        if board is not None:
            raise
        raise BoardError(
            f"The project was generated for the board {manifest.board!r}, which is not where it was: {error.message}",
            hint="Name its folder with --board.",
        ) from error
    if found.name != manifest.board:
        raise UsageError(
            f"{folder} was generated for the board {manifest.board!r}, not for {found.name!r}.",
            hint="Generate a project for that board.",
        )
    return Project(folder, manifest, found)
