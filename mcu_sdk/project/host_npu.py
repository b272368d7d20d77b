"""The NPU of a model that runs on this computer, simulated."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from mcu_sdk.errors import RunError
from mcu_sdk.npu.failures import driver_error


class SimulatedNpu:
    """The library's driver, connected to a model of the NPU's registers that works on this process's memory."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        from mcu_sdk.npu.accelerator import accelerator
        from mcu_sdk.npu.registers import RegisterModel
        from mcu_sdk.npu.shared_memory import OwnMemory

        self._model = RegisterModel(accelerator(name), OwnMemory())
        self._error: Exception | None = None
        # ctypes keeps no reference to what C was given.
        self._read = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(self._guarded(self._model.read))
        self._write = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)(
            self._guarded(self._model.write)
        )
        library.model_set_npu(self._read, self._write)
        self._failure = library.model_npu_failure
        self._failure.restype = ctypes.c_char_p

    def _guarded(self, access: Callable[..., Any]) -> Callable[..., int]:
        """An exception cannot cross C: the first one is kept, and the register reads as 0."""

        def guarded(*arguments: int) -> int:
            try:
                return access(*arguments) or 0
            except Exception as error:
                self._error = self._error or error
                return 0

        return guarded

    def check(self) -> None:
        """Raises what went wrong since the last check."""
        reason = self._failure()
        error = self._error or self._model.error
        self._error = self._model.error = None
        if error is not None:
            raise error
        if reason is not None:
            word = reason.decode()
            raise driver_error(word, "the host") or RunError(f"The NPU's driver stopped: {word}.")
