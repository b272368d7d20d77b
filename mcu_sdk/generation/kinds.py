"""What is compiled, as the options see it, and what makes no difference to that."""

from __future__ import annotations

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.device_texts import Texts
from mcu_sdk.errors import UsageError
from mcu_sdk.model.load import Checkpoint
from mcu_sdk.options import GenerateRequest, Kind
from mcu_sdk.planning.language_model import LanguageModel
from mcu_sdk.planning.text_model import TextModel
from mcu_sdk.project.destination import check_kept_app


def kind_of_plan(
    request: GenerateRequest, language_model: LanguageModel | None, texts: Texts, npu: NpuTarget | None
) -> Kind:
    """What was compiled, as the options see it."""
    if request.pte is not None:
        if language_model is not None:
            return Kind.PTE_TOKENS
        return Kind.PTE_TENSORS if texts is None else Kind.PTE_TEXTS
    if language_model is None:
        return Kind.ENCODER if npu is None else Kind.ENCODER_NPU
    if language_model.encoder is not None:
        return Kind.ENCODER_DECODER
    return Kind.DECODER if npu is None else Kind.DECODER_NPU


def check_reads_text(
    request: GenerateRequest, name: str, language_model: LanguageModel | None, texts: Texts
) -> None:
    """Raises UsageError for a tokenizer that was named for a model whose firmware can take no text."""
    if request.tokenizer is None or language_model is not None or isinstance(texts, TextModel):
        return
    why = texts or "it takes tensors that are no texts"
    raise UsageError(f"--tokenizer is for models that read texts; of {name}, {why}.", hint="Leave it out.")


def check_kind_of(request: GenerateRequest, checkpoint: Checkpoint, npu: NpuTarget | None) -> None:
    """Raises UsageError, before anything is compiled, for an option that makes no difference to what it is, and for a
    project whose app/ is of another kind of model. What the checkpoint is takes a second to tell, and is rarely asked."""
    kinds = [Kind.DECODER, Kind.ENCODER, Kind.ENCODER_DECODER]
    if npu is not None:
        kinds = [request.decoder_kinds(npu), Kind.ENCODER_NPU]
    refused: dict[Kind, UsageError] = {}
    for kind in kinds:
        try:
            request.check_kind(kind)
            if npu is not None and kind is Kind.ENCODER_NPU:
                request.check_on_npu(npu)
        except UsageError as error:
            refused[kind] = error
    if refused:
        found = kind_of(checkpoint, npu)
        if (refusal := next((refused[kind] for kind in refused if found & kind), None)) is not None:
            raise refusal
    if request.output is None or request.decode_asked(npu) == "npu":
        return
    try:
        check_kept_app(request.output, language_model=True)
    except UsageError:
        if kind_of(checkpoint, npu) not in (Kind.ENCODER, Kind.ENCODER_NPU):
            raise


def kind_of(checkpoint: Checkpoint, npu: NpuTarget | None) -> Kind:
    """What its configuration says it is; on an NPU an encoder-decoder is taken for an encoder, whose recipe refuses it."""
    from mcu_sdk.model.encoder_decoder import pair_architecture

    if npu is not None:
        return Kind.ENCODER_NPU if _is_encoder(checkpoint) else Kind.DECODER_NPU
    if pair_architecture(checkpoint) is not None:
        return Kind.ENCODER_DECODER
    return Kind.ENCODER if _is_encoder(checkpoint) else Kind.DECODER


def _is_encoder(checkpoint: Checkpoint) -> bool:
    from mcu_sdk.model.encoder import encoder_architecture

    return encoder_architecture(checkpoint) is not None
