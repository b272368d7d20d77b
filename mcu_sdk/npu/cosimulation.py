"""A simulated NPU beside a firmware that runs in QEMU or as a process: its registers, and the memory the two share.

The protocol is docs/npu_cosimulation.md's. A thread serves register accesses for as long as the block lasts; what it
leaves behind when the block ends, however it ends, is nothing.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import struct
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mcu_sdk.errors import McuSdkError, RunError
from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.registers import Observer, RegisterModel
from mcu_sdk.npu.shared_memory import FileMemory, ProcessMemory

READ, WRITE = 0x44524D31, 0x52574D31
_MESSAGE = struct.Struct("<3I")
_REQUEST, _RESPONSE = "npu.request", "npu.response"
_SHARED = "{shared}"


class CoSimulation(ABC):
    """One run beside a simulated NPU. Use it as a context manager, and hand it to `run_process`.

    `error` is what the NPU stopped at, or None.
    """

    def __init__(self, accelerator: Accelerator, observer: Observer | None = None) -> None:
        self._accelerator = accelerator
        self._observer = observer
        self._cleanup = ExitStack()
        self._process = 0
        self._model: RegisterModel | None = None
        self._failure: McuSdkError | None = None

    @property
    def error(self) -> McuSdkError | None:
        if self._failure is not None:
            return self._failure
        return self._model.error if self._model is not None else None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._open(stack)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line, with what stands for the shared memory replaced."""
        return list(command)

    @property
    def popen_arguments(self) -> dict[str, Any]:
        """What `subprocess.Popen` has to be given besides."""
        return {}

    def started(self, process: int) -> None:
        """The firmware runs as `process`."""
        self._process = process

    # ---- what the kinds differ in

    @abstractmethod
    def _open(self, stack: ExitStack) -> None: ...

    # ---- the thread

    def _serve(self, stack: ExitStack, requests: int, responses: int, model: RegisterModel) -> None:
        """Answer register accesses in a thread until the stack closes."""
        self._model = model
        os.set_blocking(
            responses, False
        )  # a firmware that does not read its answers must not stop the thread
        waker, wake = os.pipe()
        stack.callback(os.close, waker)
        thread = threading.Thread(
            target=self._loop, args=(requests, responses, waker), name="npu", daemon=True
        )

        def stop() -> None:
            os.close(wake)
            thread.join()

        stack.callback(stop)
        thread.start()

    def _loop(self, requests: int, responses: int, waker: int) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(requests, selectors.EVENT_READ)
                selector.register(waker, selectors.EVENT_READ)
                data = b""
                while True:
                    ready = [key.fd for key, _ in selector.select()]
                    if waker in ready:
                        return
                    piece = os.read(requests, 1 << 16)
                    if not piece:
                        return
                    data = self._answer(data + piece, responses)
        except BaseException as error:  # the firmware would wait for ever
            self._failure = (
                error
                if isinstance(error, McuSdkError)
                else RunError(f"The simulated NPU failed: {type(error).__name__}: {error}.")
            )
            with suppress(ProcessLookupError, PermissionError):
                if self._process:
                    os.killpg(self._process, signal.SIGKILL)

    def _answer(self, data: bytes, responses: int) -> bytes:
        """Handle every whole message; returns the rest."""
        assert self._model is not None
        whole = len(data) // _MESSAGE.size * _MESSAGE.size
        for operation, offset, value in _MESSAGE.iter_unpack(data[:whole]):
            if operation == READ:
                self._respond(responses, self._model.read(offset))
            elif operation == WRITE:
                self._model.write(offset, value)
                self._after_write()
            else:
                raise RunError(
                    f"The firmware sent {operation:#010x} to the simulated NPU, which is no access to a register.",
                    hint="Build the project again with this version of mcu-sdk.",
                )
        return data[whole:]

    def _respond(self, responses: int, value: int) -> None:
        try:
            os.write(responses, struct.pack("<I", value))
        except BlockingIOError as error:
            raise RunError(
                "The firmware reads the simulated NPU's registers, but not the answers.",
                hint="Build the project again with this version of mcu-sdk.",
            ) from error

    @abstractmethod
    def _after_write(self) -> None:
        """A register was written; a run may be over."""


class QemuCoSimulation(CoSimulation):
    """`size` bytes of guest memory from `origin` on are a file; QEMU and the simulator map both."""

    def __init__(
        self, accelerator: Accelerator, origin: int, size: int, observer: Observer | None = None
    ) -> None:
        super().__init__(accelerator, observer)
        self._origin, self._size = origin, size
        self._folder = Path()

    def _open(self, stack: ExitStack) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mcu-sdk-npu-", dir=_memory_folder()))
        stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        memory_file = self._folder / "memory"
        with memory_file.open("wb") as file:
            file.truncate(self._size)  # sparse: only what is touched takes room
        memory = FileMemory(memory_file, self._origin)
        stack.callback(memory.close)
        ends = []
        for name in (_REQUEST, _RESPONSE):
            os.mkfifo(self._folder / name)
            # For reading and writing: neither side waits for the other to open its end.
            descriptor = os.open(self._folder / name, os.O_RDWR)
            stack.callback(os.close, descriptor)
            ends.append(descriptor)
        self._serve(stack, ends[0], ends[1], RegisterModel(self._accelerator, memory, self._observer))

    def command(self, command: Sequence[str]) -> list[str]:
        return [part.replace(_SHARED, str(self._folder / "memory")) for part in command]

    @property
    def popen_arguments(self) -> dict[str, Any]:
        return {"cwd": self._folder}  # where the firmware opens the pipes by name

    def _after_write(self) -> None:
        return


class ProcessCoSimulation(CoSimulation):
    """The firmware is a process of this computer: pipes for registers, its memory through the system."""

    def _open(self, stack: ExitStack) -> None:
        self._request_read, self._request_write = os.pipe()
        self._response_read, self._response_write = os.pipe()
        for descriptor in (
            self._request_read,
            self._request_write,
            self._response_read,
            self._response_write,
        ):
            stack.callback(os.close, descriptor)

    @property
    def popen_arguments(self) -> dict[str, Any]:
        ends = (self._request_write, self._response_read)
        return {"pass_fds": ends, "env": {**os.environ, "MCU_SDK_NPU": f"{ends[0]},{ends[1]}"}}

    def started(self, process: int) -> None:
        super().started(process)
        self._memory = ProcessMemory(process)
        self._cleanup.callback(self._memory.close)
        model = RegisterModel(self._accelerator, self._memory, self._observer)
        self._serve(self._cleanup, self._request_read, self._response_write, model)

    def _after_write(self) -> None:
        self._memory.write_back()


def _memory_folder() -> str | None:
    """A folder in memory where there is one: every byte of the file would otherwise go to a disk."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK | os.X_OK) else None
