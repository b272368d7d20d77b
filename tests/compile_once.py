"""A compiler's launcher: copies the object that the same command made of the same files in another project's folder.

The projects of a run have most sources in common. Their objects are the same wherever they lie, because of
-ffile-prefix-map; the tests that show that compile without this (`COMPILED` taken out of the environment). Any command
that is not plainly of this kind goes to the compiler as it is, and what fails or warns is never kept.

Runs for every source: so it imports little, and nothing of the project.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256

COMPILED = "MCU_TESTS_COMPILED"
"""The folder of objects, in the environment."""

MAP = "-ffile-prefix-map="
OTHER_OUTPUTS = (
    "-fstack-usage",
    "-fcallgraph-info",
    "--coverage",
    "-save-temps",
    "-gsplit-dwarf",
    "-fprofile",
)
ESCAPED = frozenset(" \t\n\\#$%:;*?[]~'\"&()<>|`{}")
"""What a path in a list of dependencies has with escapes, or might have."""


class Job:
    """One command of the kind that CMake writes for Ninja, for a project in the folder `root`."""

    def __init__(self, command: list[str], root: str) -> None:
        self.command, self.root = command, root
        self.object = command[command.index("-o") + 1]
        self.listing = command[command.index("-MF") + 1]
        self.source = command[command.index("-c") + 1]

    @classmethod
    def of(cls, command: list[str]) -> Job | None:
        """None for any other command."""
        roots = [word[len(MAP) : -2] for word in command if word.startswith(MAP) and word.endswith("=.")]
        once = all(command.count(flag) == 1 for flag in ("-o", "-MF", "-c"))
        plain = not any(word.startswith(OTHER_OUTPUTS) for word in command)
        if len(roots) != 1 or not once or not plain or not ESCAPED.isdisjoint(roots[0] + os.getcwd()):
            return None
        return cls(command, roots[0])

    def key(self) -> str:
        """Of the compiler, its arguments and the source, but for where the project lies."""
        compiler = os.stat(self.command[0])
        digest = sha256(f"{compiler.st_size} {compiler.st_mtime_ns}".encode())
        for word in (os.getcwd(), *self.command):
            digest.update(word.replace(self.root, "\0").encode() + b"\n")
        digest.update(_content(self.source))
        return digest.hexdigest()[:24]

    def read(self, names: list[str]) -> str:
        """Of all files that were read; of those outside of the project, which nobody changes meanwhile, the time."""
        digest = sha256()
        for name in names:
            path = name.replace("\0", self.root)
            inside = name.startswith("\0")
            content = _content(path) if inside else str(os.stat(path).st_mtime_ns).encode()
            digest.update(name.encode() + b"\n" + sha256(content).digest())
        return digest.hexdigest()[:24]

    def take(self, folder: str) -> bool:
        """Whether the object was there."""
        try:
            key = self.key()
            listing = _content(f"{folder}/{key}").decode()
            made = f"{folder}/{key}-{self.read(_names(listing))}.o"
            _write(self.object, _content(made))
        except OSError:
            return False
        _write(self.listing, listing.replace("\0", self.root).encode())
        return True

    def keep(self, folder: str) -> None:
        listing = _content(self.listing).decode().replace(self.root, "\0")
        key = self.key()
        _write(f"{folder}/{key}-{self.read(_names(listing))}.o", _content(self.object))
        _write(f"{folder}/{key}", listing.encode())


def _names(listing: str) -> list[str]:
    """The files of a make rule."""
    return listing.partition(":")[2].replace("\\\n", " ").split()


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, content: bytes) -> None:
    """Whole or not at all: another worker may be reading."""
    partial = f"{path}.{os.getpid()}"
    with open(partial, "wb") as file:
        file.write(content)
    os.replace(partial, path)


def main(command: list[str]) -> int:
    folder = os.environ.get(COMPILED)
    job = Job.of(command) if folder else None
    if folder is None or job is None:
        os.execvp(command[0], command)
    if job.take(folder):
        return 0
    import subprocess

    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    sys.stderr.buffer.write(done.stderr)
    if done.returncode == 0 and not done.stderr:
        job.keep(folder)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
