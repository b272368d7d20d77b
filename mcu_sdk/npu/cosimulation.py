"""A simulated NPU beside a firmware that runs in QEMU or as a process: its registers, and the memory the two share.

The protocol is docs/npu_cosimulation.md's. A thread serves register accesses for as long as the block lasts; what it
leaves behind when the block ends, however it ends, is nothing.
"""

from __future__ import annotations

import os
import selectors
import shutil
import struct
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mcu_sdk.errors import McuSdkError, RunError
from mcu_sdk.npu.accelerator import Accelerator
from mcu_sdk.npu.registers import BusError, Memory, Observer, RegisterModel
from mcu_sdk.npu.shared_memory import FileMemory, ProcessMemory

READ, WRITE = 0x44524D31, 0x52574D31
_MESSAGE = struct.Struct("<3I")
_REQUEST, _RESPONSE = "npu.request", "npu.response"
_SHARED = "{shared}"


class CoSimulation(ABC):
    """One run beside a simulated NPU. Use it as a context manager, and hand it to `run_process`.

    Raises RunError where the system has no room.
    """

    def __init__(self, accelerator: Accelerator, observer: Observer | None = None) -> None:
        self._stopped = threading.Event()
        self._model = RegisterModel(accelerator, _NoMemory(), observer, self._stopped.is_set)
        self._cleanup = ExitStack()
        self._failure: McuSdkError | None = None
        self._failed = self._fail = -1  # both ends of a pipe

    @property
    def error(self) -> McuSdkError | None:
        """What the NPU stopped at, or None."""
        return self._failure or self._model.error

    @property
    def runs(self) -> int:
        """Command streams that were run."""
        return self._model.runs

    @property
    def failed(self) -> int:
        """A file descriptor that can be read once the simulation has failed: the firmware would wait for ever."""
        return self._failed

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._failed, self._fail = os.pipe()
            stack.callback(os.close, self._failed)
            stack.callback(os.close, self._fail)
            try:
                self._open(stack)
            except OSError as error:
                raise RunError(
                    f"The simulated NPU cannot be set up: {error}.",
                    hint="It needs a folder for temporary files, and memory for what the firmware's DDR holds.",
                ) from error
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
    @abstractmethod
    def popen_arguments(self) -> dict[str, Any]:
        """What `subprocess.Popen` has to be given besides."""

    def started(self, process: int) -> None:  # noqa: B027 - only one kind has to know
        """The firmware runs as `process`. Raises RunError if its memory cannot be reached."""

    # ---- what the kinds differ in

    @abstractmethod
    def _open(self, stack: ExitStack) -> None:
        """Make what both sides need, to be undone by the stack."""

    def _after_write(self) -> None:  # noqa: B027
        """A register was written; a run may be over."""

    def _connected(self) -> None:  # noqa: B027
        """The firmware has made itself heard."""

    # ---- the thread

    def _serve(self, stack: ExitStack, requests: int, responses: int, memory: Memory) -> None:
        """Answer register accesses in a thread until the stack closes."""
        self._model.memory = memory
        os.set_blocking(responses, False)
        waker, wake = os.pipe()
        stack.callback(os.close, waker)
        thread = threading.Thread(
            target=self._loop, args=(requests, responses, waker), name="npu", daemon=True
        )

        def stop() -> None:
            self._stopped.set()
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
                    self._connected()
                    data = self._answer(data + piece, responses)
        except McuSdkError as error:
            self._failure = error
        except BlockingIOError:
            self._failure = _confused("asked for more than it has read")
        except Exception as error:  # whatever it is, the firmware must not wait for ever
            self._failure = RunError(f"The simulated NPU failed: {type(error).__name__}: {error}.")
        os.write(self._fail, b"!")

    def _answer(self, data: bytes, responses: int) -> bytes:
        """Handle every whole message; returns the rest."""
        whole = len(data) // _MESSAGE.size * _MESSAGE.size
        for operation, offset, value in _MESSAGE.iter_unpack(data[:whole]):
            if operation == READ:
                os.write(responses, struct.pack("<I", self._model.read(offset)))
            elif operation == WRITE:
                self._model.write(offset, value)
                self._after_write()
            else:
                raise _confused(f"sent {operation:#010x}, which is no access to a register")
        return data[whole:]


class QemuCoSimulation(CoSimulation):
    """`size` bytes of guest memory from `origin` on are a file; QEMU and the simulator map both."""

    def __init__(
        self, accelerator: Accelerator, origin: int, size: int, observer: Observer | None = None
    ) -> None:
        super().__init__(accelerator, observer)
        self._origin, self._size = origin, size
        self._folder = Path()
        self._shared = ""
        self._descriptors: tuple[int, ...] = ()

    def _open(self, stack: ExitStack) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mcu-sdk-npu-"))
        stack.callback(self._connected)
        file = self._make_memory(stack)
        memory = FileMemory(file, self._origin)
        stack.callback(memory.close)
        ends = []
        for name in (_REQUEST, _RESPONSE):
            os.mkfifo(self._folder / name)
            # For reading and writing: neither side waits for the other to open its end.
            ends.append(os.open(self._folder / name, os.O_RDWR))
            stack.callback(os.close, ends[-1])
        self._serve(stack, ends[0], ends[1], memory)

    def _make_memory(self, stack: ExitStack) -> int:
        """A sparse file: only what is touched takes room. In memory and without a name where the system can."""
        if hasattr(os, "memfd_create"):
            file = os.memfd_create("mcu-sdk-npu")
            self._shared, self._descriptors = f"/proc/self/fd/{file}", (file,)
        else:
            self._shared = str(self._folder / "memory")
            file = os.open(self._shared, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        stack.callback(os.close, file)
        os.ftruncate(file, self._size)
        return file

    def command(self, command: Sequence[str]) -> list[str]:
        return [part.replace(_SHARED, self._shared) for part in command]

    @property
    def popen_arguments(self) -> dict[str, Any]:
        # The firmware opens the pipes by name, in the folder where QEMU runs.
        return {"cwd": self._folder, "pass_fds": self._descriptors}

    def _connected(self) -> None:
        # Both sides have everything open: from here on not even a kill of this process leaves a file.
        shutil.rmtree(self._folder, ignore_errors=True)


class ProcessCoSimulation(CoSimulation):
    """The firmware is a process of this computer: pipes for registers, its memory through the system."""

    def _open(self, stack: ExitStack) -> None:
        self._request_read, self._request_write = os.pipe()
        self._response_read, self._response_write = os.pipe()
        for end in (self._request_read, self._request_write, self._response_read, self._response_write):
            stack.callback(os.close, end)

    @property
    def popen_arguments(self) -> dict[str, Any]:
        ends = (self._request_write, self._response_read)
        return {"pass_fds": ends, "env": {**os.environ, "MCU_SDK_NPU": f"{ends[0]},{ends[1]}"}}

    def started(self, process: int) -> None:
        self._memory = ProcessMemory(process)
        self._cleanup.callback(self._memory.close)
        self._serve(self._cleanup, self._request_read, self._response_write, self._memory)

    def _after_write(self) -> None:
        self._memory.write_back()


class _NoMemory:
    """Before the firmware runs."""

    def view(self, address: int) -> Any:
        raise BusError(f"there is no memory yet at {address:#x}")


def _confused(what: str) -> RunError:
    return RunError(
        f"The firmware {what}, beside a simulated NPU.",
        hint="Build the project again with this version of mcu-sdk.",
    )
