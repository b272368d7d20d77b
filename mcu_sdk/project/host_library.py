"""The generated model on this computer: libmodel.so of a project's `host` preset, through ctypes.

The same sources as the firmware, so the same bits: what is measured here holds for the device.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcu_sdk.errors import BuildError, TextError
from mcu_sdk.project.build import build
from mcu_sdk.project.host_npu import SimulatedNpu
from mcu_sdk.project.opened import open_project
from mcu_sdk.project.tensors import Borders, borders_of, with_one_nan
from mcu_sdk.targets.executorch import runtime_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool")
"""numpy's names in the order of `model::Type`."""

_ENCODE_ERRORS = {
    -1: "it is too long",
    -2: "it is not valid UTF-8, or has characters that the tokenizer does not know",
}


@dataclass(frozen=True)
class ReadText:
    """Token ids of a text, and how many tokens were cut off."""

    ids: tuple[int, ...]
    dropped: int


class HostModel:
    """One loaded model. Its buffers are static, as on the device: one sequence at a time.

    `accelerator`: the NPU that parts of the model run on, by Vela's name; it is simulated. Raises BuildError if the
    library cannot be loaded.
    """

    def __init__(self, path: Path, accelerator: str | None = None) -> None:
        try:
            library = ctypes.CDLL(str(path.resolve()))
        except OSError as error:
            raise BuildError(
                f"{path} cannot be loaded: {error}.", hint="Build the preset `host` again."
            ) from error
        self._library = library
        library.model_hash.restype = ctypes.c_char_p
        library.model_digest.restype = ctypes.c_uint64
        library.model_digest.argtypes = [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64]
        library.model_tokens.restype = None
        library.model_tokens.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p]
        library.model_read_source.restype = None
        library.model_read_source.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        library.model_chunk.restype = None
        library.model_chunk.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
        library.model_take_source.restype = None
        for function in (library.model_input, library.model_output, library.model_encoder_input):
            function.restype = ctypes.c_void_p
            function.argtypes = [
                ctypes.c_int32,
                ctypes.POINTER(ctypes.c_uint64),
                ctypes.POINTER(ctypes.c_int32),
            ]
        self.hash: str = library.model_hash().decode()
        self.is_language_model = bool(library.model_is_language_model())
        self.vocab_size: int = library.model_vocabulary()
        self.max_sequence_length: int = library.model_max_sequence_length()
        self.slides = bool(library.model_slides())
        self.prefill_rows: int = library.model_prefill_rows()
        self.encoder_length: int = library.model_encoder_length()
        self._source = -1  # the place of the encoder's last row that counts
        self.inputs = [self._view(library.model_input, i) for i in range(library.model_input_count())]
        self.outputs = [self._view(library.model_output, i) for i in range(library.model_output_count())]
        count = library.model_encoder_tensors()
        self.encoder_inputs = [self._view(library.model_encoder_input, i) for i in range(count)]
        self.has_tokenizer = bool(library.model_has_tokenizer())
        self.reads_texts = self.has_tokenizer and not self.is_language_model
        self._borders: Borders | None = None
        self._position = 0
        self._npu = SimulatedNpu(library, accelerator) if accelerator is not None else None
        self._executor_failure = getattr(library, "model_executor_failure", None)
        if self._executor_failure is not None:
            self._executor_failure.restype = library.model_runtime_use.restype = ctypes.c_char_p

    @classmethod
    def of(cls, project: str | Path, board: str | None = None) -> HostModel:
        """Build a project's preset `host` and load it; inputs and outputs of `run` then have the .pte's shapes, whatever
        the order in which their elements lie in memory.

        Raises what opening and building a project raise.
        """
        opened = open_project(Path(project), board)
        library = build(opened.folder, "host").library
        assert library is not None, "a host's build makes libmodel.so"
        model = cls(library, opened.accelerator)
        if not opened.is_language_model:
            model._borders = borders_of(opened)
        return model

    def _view(self, function: Any, index: int) -> NDArray[Any]:
        """The flat array over the model's own memory of one input or output."""
        import numpy as np

        size = ctypes.c_uint64()
        kind = ctypes.c_int32()
        address = function(index, ctypes.byref(size), ctypes.byref(kind))
        dtype = np.dtype(_TYPES[kind.value])
        if size.value == 0:
            return np.empty(0, dtype)
        memory: Any = (ctypes.c_uint8 * size.value).from_address(address)
        return np.ndarray((size.value // dtype.itemsize,), dtype, memory)

    def reset(self) -> None:
        """Forget everything: zero the arena and the KV cache."""
        self._library.model_reset()
        self._position = 0

    def step(self, token: int, position: int | None = None) -> NDArray[np.float32]:
        """Read one token; returns the logits, f32[vocab_size], as a view that the next step overwrites.

        `position` is the next one unless given. Raises ValueError out of range.
        """
        position = self._position if position is None else position
        if self.slides and position < self._position and self._position > self.max_sequence_length:
            raise ValueError(
                f"what was read behind position {position} has taken the place of what was before"
            )
        self._check(token, position)
        self.inputs[0][0] = token
        self.inputs[1][0] = position
        if len(self.inputs) > 2 and self.is_language_model:
            self.inputs[2][0] = self._source
        self._step()
        self._position = position + 1
        logits: NDArray[np.float32] = self.outputs[0]
        return logits

    def tokens(self, ids: Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """Read tokens from position 0 on, after a reset; returns the logits of each, f32[len(ids), vocab_size].

        Raises ValueError for ids or a length out of range.
        """
        import numpy as np

        tokens = np.ascontiguousarray(ids, dtype=np.int64)
        if len(tokens):
            self._check(int(tokens.min()), 0)
            self._check(int(tokens.max()), len(tokens) - 1)
        logits = np.empty((len(tokens), self.vocab_size), dtype=np.float32)
        self.reset()
        self._library.model_tokens(tokens.ctypes.data, len(tokens), 0, logits.ctypes.data)
        self._check_failure()
        self._position = len(tokens)
        return logits

    def chunk(self, ids: Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """Read `prefill_rows` tokens at once, behind those before; returns the logits of the last one, f32[vocab_size].

        Raises ValueError for another number of ids, or ids or a length out of range.
        """
        import numpy as np

        tokens = np.ascontiguousarray(ids, dtype=np.int64)
        if not self.prefill_rows or tokens.shape != (self.prefill_rows,):
            raise ValueError(f"chunks have {self.prefill_rows} tokens, not {len(tokens)}")
        self._check(int(tokens.min()), self._position)
        self._check(int(tokens.max()), self._position + len(tokens) - 1)
        logits = np.empty(self.vocab_size, dtype=np.float32)
        self._library.model_chunk(tokens.ctypes.data, self._position, logits.ctypes.data)
        self._check_failure()
        self._position += len(tokens)
        return logits

    def read_prompt(self, ids: Sequence[int], chunks: int | None = None) -> list[NDArray[np.float32]]:
        """Read tokens as the firmware's read() does, behind those before: chunks (as many as there can be, unless told),
        then one by one; returns the logits of each chunk and step.

        Raises ValueError for ids or a length out of range.
        """
        rows = self.prefill_rows
        chunks = len(ids) // rows if rows and chunks is None else chunks or 0
        logits = [self.chunk(ids[i * rows : (i + 1) * rows]) for i in range(chunks)]
        return logits + [self.step(token).copy() for token in ids[chunks * rows :]]

    def rewind(self, position: int) -> None:
        """Go on at a position before the present one, as after the tokens up to it: what the caches hold of later ones is not
        looked at until it is written over."""
        if not 0 < position <= self._position:
            raise ValueError(f"position {position} is not in 1..{self._position}")
        self._position = position

    def encode_source(self, ids: Sequence[int] | NDArray[Any]) -> None:
        """Let the encoder read tokens, after a reset: what every step then attends to.

        Raises ValueError for ids out of range, or more or fewer than it reads.
        """
        import numpy as np

        tokens = np.ascontiguousarray(ids, dtype=np.int32)
        if not 1 <= len(tokens) <= self.encoder_length:
            raise ValueError(f"the encoder reads 1 to {self.encoder_length} tokens, not {len(tokens)}")
        self._check(int(tokens.min()), 0)
        self._check(int(tokens.max()), 0)
        self._library.model_read_source(tokens.ctypes.data, len(tokens))
        self._check_failure()
        self._source = len(tokens) - 1

    def encode_tensors(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Let the encoder take tensors, after a reset: the elements of each as they lie in memory; of a mask of its rows (the
        last one, where steps have a third input) the ones at its beginning count.

        Raises ValueError for other ones.
        """
        wanted = [(memory.dtype, memory.size) for memory in self.encoder_inputs]
        found = [(array.dtype, array.size) for array in arrays]
        if not wanted or wanted != found:
            raise ValueError(f"the encoder takes {wanted}, not {found}")
        if len(self.inputs) > 2:
            ones = arrays[-1] != 0
            self._source = max(int(ones.size if ones.all() else ones.argmin()) - 1, 0)
        for memory, array in zip(self.encoder_inputs, arrays, strict=True):
            memory[:] = array.ravel()
        self._library.model_take_source()

    def kv_cache(self) -> bytes:
        """What the model keeps from step to step, as it lies in memory."""
        size = ctypes.c_uint64()
        function = self._library.model_kv_cache
        function.restype, function.argtypes = ctypes.c_void_p, [ctypes.POINTER(ctypes.c_uint64)]
        address = function(ctypes.byref(size))
        return ctypes.string_at(address, size.value) if address else b""

    def _step(self) -> None:
        self._library.model_step()
        self._check_failure()

    def _check_failure(self) -> None:
        """Raises what the simulated NPU, or ExecuTorch's runtime, stopped at."""
        if self._npu is not None:
            self._npu.check()
        if self._executor_failure is not None:
            what, error = ctypes.c_char_p(), ctypes.c_uint32()
            reason = self._executor_failure(ctypes.byref(what), ctypes.byref(error))
            if reason is not None:
                raise runtime_error(
                    reason.decode(), (what.value or b"").decode(), error.value, "this computer"
                )

    def runtime_memory(self) -> dict[str, tuple[int, int]]:
        """Of a model that ExecuTorch's runtime runs: bytes that each method's values and instructions, and temporary memory,
        were given, and have used so far. Nothing of another model."""
        if self._executor_failure is None:
            return {}
        used, given = ctypes.c_uint64(), ctypes.c_uint64()
        found = {}
        for index in range(self._library.model_runtime_uses()):
            name = self._library.model_runtime_use(index, ctypes.byref(given), ctypes.byref(used))
            found[name.decode()] = (given.value, used.value)
        return found

    def _check(self, token: int, position: int) -> None:
        if not self.is_language_model:
            raise ValueError("this model takes tensors, not tokens")
        if not 0 <= token < self.vocab_size:
            raise ValueError(f"token {token} is not in 0..{self.vocab_size - 1}")
        if self.slides and 0 <= position < 1 << 31:
            return
        if not 0 <= position < self.max_sequence_length:
            raise ValueError(f"position {position} is not in 0..{self.max_sequence_length - 1}")

    def run(self, inputs: Sequence[NDArray[Any] | bytes]) -> list[NDArray[Any]]:
        """One step; returns copies of the outputs.

        Of a model that came by `of`, inputs and outputs are arrays of the .pte's shapes and types. Otherwise, and for an
        input that is `bytes` or flat: the elements as they lie in memory; and such outputs. Raises ValueError when the
        number of inputs, a shape, a type or a size differs. Does not reset.
        """
        import numpy as np

        if len(inputs) != len(self.inputs):
            raise ValueError(f"the model has {len(self.inputs)} inputs, not {len(inputs)}")
        for i, (memory, given) in enumerate(zip(self.inputs, inputs, strict=True)):
            data = given if isinstance(given, bytes) else self._stored(i, given)
            if len(data) != memory.nbytes:
                raise ValueError(f"input {i} has {memory.nbytes} bytes, not {len(data)}")
            memory[:] = np.frombuffer(data, dtype=memory.dtype)
        self._step()
        return self._copies()

    def _copies(self) -> list[NDArray[Any]]:
        if self._borders is None:
            return [output.copy() for output in self.outputs]
        return [
            border.from_bytes(output.tobytes())
            for border, output in zip(self._borders.outputs, self.outputs, strict=True)
        ]

    def _stored(self, index: int, array: NDArray[Any]) -> bytes:
        """An input's bytes as they lie in memory."""
        if self._borders is None or array.ndim == 1:
            return array.tobytes()
        border = self._borders.inputs[index]
        if array.dtype != border.dtype or array.shape != border.shape:
            raise ValueError(f"input {index} is {border}, not {array.dtype}{list(array.shape)}")
        return border.to_bytes(array)

    def digest(self, arrays: Sequence[NDArray[Any]]) -> int:
        """FNV-1a, 64 bits, over the raw bytes of the arrays in order, with one NaN for all: the firmware's `@mcu digest`."""
        value = 0xCBF29CE484222325
        for array in arrays:
            data = with_one_nan(array)
            value = self._library.model_digest(value, data.ctypes.data, data.nbytes)
        return value

    def encode(self, text: str) -> list[int]:
        """Token ids, by the tokenizer that runs on the device. Raises TextError if it cannot."""
        if self.reads_texts:
            return list(self.read(text).ids)
        data = text.encode("utf-8", "surrogatepass")
        capacity = len(data) + 64
        ids = (ctypes.c_int32 * capacity)()
        count = self._library.model_encode(data, len(data), ids, capacity) if self.has_tokenizer else -2
        if count < 0:
            why = (
                _ENCODE_ERRORS.get(count, "unknown reason")
                if self.has_tokenizer
                else "the project has no tokenizer"
            )
            raise TextError(f"The text cannot be encoded: {why}.", hint="Give the prompt as token ids.")
        return list(ids[:count])

    def read(self, text: str, pair: str | None = None) -> ReadText:
        """Fill the inputs of a model that reads texts, by the tokenizer that runs on the device; `run_read` computes.

        Raises TextError if it cannot, and ValueError for a model that reads none.
        """
        if not self.reads_texts:
            raise ValueError("this model takes no texts")
        first, second = (each.encode("utf-8", "surrogatepass") for each in (text, pair or ""))
        dropped = ctypes.c_int32()
        count = self._library.model_read_texts(
            first, len(first), None if pair is None else second, len(second), ctypes.byref(dropped)
        )
        if count < 0:
            why = _ENCODE_ERRORS.get(count, "it has a token that the model does not know")
            raise TextError(f"The text cannot be encoded: {why}.", hint="Give another text.")
        return ReadText(tuple(int(i) for i in self.inputs[0][:count]), dropped.value)

    def run_read(self) -> list[NDArray[Any]]:
        """One step on what `read` filled in; returns copies of the outputs, as `run` does."""
        self._step()
        return self._copies()

    def decode(self, token: int) -> bytes:
        """The raw bytes of one token; empty for special tokens and where the project has no tokenizer."""
        if not self.has_tokenizer:
            return b""
        start = ctypes.POINTER(ctypes.c_uint8)()
        count = self._library.model_decode(token, ctypes.byref(start))
        return bytes(start[:count]) if count > 0 else b""
