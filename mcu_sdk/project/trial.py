"""What a project's code takes, found by compiling and linking it at generation: no guess is as exact.

Everything but the model file is compiled with the flags that CMake will use, and linked by the project's own linker
script with room for anything. Objects are kept in the cache by the content that decides them, so that a second model
for the same core compiles little more than its plan.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mcu_sdk import cache
from mcu_sdk.board.board import Board
from mcu_sdk.board.memory import Region
from mcu_sdk.board.toolchain import LINKER
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.pieces import Piece
from mcu_sdk.project import flags
from mcu_sdk.project.compile_flags import definitions
from mcu_sdk.project.edited import KEPT
from mcu_sdk.project.elf import read_sizes
from mcu_sdk.project.library import MAIN, SECTIONS, SYMBOLS, Library
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import write_files
from mcu_sdk.project.replace import LISTS
from mcu_sdk.project.sources import DRIVER_FILES, source_lists
from mcu_sdk.project.stack import calls_bound

_CODE = (".text", ".ARM.exidx", ".note.gnu.build-id", ".init_array")
_OBJECTS = "objects"


def _model(arrays: Mapping[str, str]) -> str:
    """Assembly that stands for the model file, or for its pieces, whose sizes are known: an array by its section."""
    lines = []
    for section, array in arrays.items():
        lines += [f'.section {section}, "a", %progbits', f".global mcu_{array}", f"mcu_{array}:", ".space 64"]
    return "\n".join([*lines, ""])


@dataclass(frozen=True)
class CodeSizes:
    """Bytes of code with its constants, of a tokenizer's tables, and of variables that do not or do begin as zero.

    `stack`: what a call of a library needs at most; None for a firmware, and where there is no bound.
    """

    code: int
    tokenizer: int
    data: int
    bss: int
    stack: int | None = None


def measure(inputs: ProjectInputs, app: Path | None = None, *, keep: bool = True) -> CodeSizes | None:
    """What the release build of these inputs takes; None without a compiler, or if something does not compile.

    `app`: the folder of a project that is there already, whose app/ stays. With `keep` objects and result come from
    the cache where they are there. What does not compile is left for `mcu-sdk build` to explain.
    """
    compiler = inputs.board.tools.compiler
    if inputs.executorch is not None:
        return None  # its runtime is not here, and may not be there yet
    if compiler is None or shutil.which(LINKER) is None or inputs.board.is_host:
        return None
    with tempfile.TemporaryDirectory() as folder, _cache(keep) as kept:
        project = Path(folder) / "project"
        board, layout = _roomy(inputs.board, inputs.layout.pieces)
        roomy = replace(inputs, board=board, layout=layout, shared_layout=None, pte=b"", files={})
        try:
            write_files(roomy, project)
            if app is not None and app.is_dir() and inputs.library is None:
                return _measure_with(app, project, compiler, inputs, kept)
            return _measure(Trial.of(project, compiler, inputs), kept)
        except (NotCompiled, OSError, UnicodeError):
            return None


def _measure_with(app: Path, project: Path, compiler: str, inputs: ProjectInputs, kept: Path) -> CodeSizes:
    """`_measure` with the user's app/ in the place of the generated one.

    What its CMakeLists.txt says beyond a list of sources (folders of headers, libraries) is not known here. Where it
    takes that to compile, the generated program stands for the user's: less than it, but nearer than any bound; a region
    that is too small then is found when the project is linked.
    """
    generated = project.parent / KEPT
    shutil.move(project / KEPT, generated)
    shutil.copytree(app, project / KEPT)
    lists = project / KEPT / LISTS
    if not lists.is_file():
        shutil.copyfile(generated / LISTS, lists)
    own = lists.read_bytes() != (generated / LISTS).read_bytes()
    try:
        return _measure(Trial.of(project, compiler, inputs), kept)
    except NotCompiled:
        if not own:
            raise
    shutil.rmtree(project / KEPT)
    shutil.move(generated, project / KEPT)
    return _measure(Trial.of(project, compiler, inputs), kept)


def app_sources(project: Path) -> list[str]:
    """The sources in app/ that its CMakeLists.txt names, as CMake would be given them from the project's folder."""
    text = re.sub(r"#.*", "", (project / KEPT / LISTS).read_text(encoding="utf-8", errors="replace"))
    words = dict.fromkeys(re.split(r'[\s()"]+', text))
    sources = [word for word in words if word.endswith((".c", ".cpp", ".cc", ".cxx", ".S"))]
    return [f"{KEPT}/{word}" for word in sources if (project / KEPT / word).is_file()]


def _roomy(board: Board, pieces: Sequence[Piece]) -> tuple[Board, Layout]:
    """The board with regions in which everything has room, and the layout in these: one for what is stored, one for
    what is written, and one for each piece of divided weights, which has its name."""
    code, ram = "code_of_trial", "ram_of_trial"
    names = {code: "rom", **{piece.region: "rom" for piece in pieces}, ram: "ram"}
    size = (1 << 32) // len(names) // 4096 * 4096
    regions = tuple(
        Region(name=name, origin=number * size, size=size, kind=kind)  # type: ignore[arg-type]
        for number, (name, kind) in enumerate(names.items())
    )
    places = dict.fromkeys(("vectors", "code", "tokenizer", "weights"), code)
    layout = Layout(places | dict.fromkeys(("data", "arena", "kv_cache", "stack"), ram), pieces=tuple(pieces))
    # A boot header is no code, and what lies first here are the vectors: it goes, since nothing refers to it.
    placement = board.placement.model_copy(update={"boot_header": ""}) if board.placement else None
    return board.model_copy(update={"region": regions, "reserved": (), "placement": placement}), layout


def _measure(trial: Trial, kept: Path) -> CodeSizes:
    """Compile what is not in the folder `kept` yet, and link."""
    commands = [trial.command(name) for name in trial.names]
    versions = [_version(trial.compiler), _version(LINKER)]
    keys = [
        _key([*versions, *command], trial.closure(name))
        for name, command in zip(trial.names, commands, strict=True)
    ]
    script = (trial.project / "cmake" / "board.ld").read_text()
    options = trial.link_options()
    result = kept / f"{_key([*versions, *options, script], keys)}.json"
    if result.is_file():
        return CodeSizes(**json.loads(result.read_text()))
    objects = [kept / f"{key}.o" for key in keys]
    missing = [(job, path) for job, path in zip(commands, objects, strict=True) if not path.is_file()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda item: trial.compile(*item), missing))
    sizes = trial.link(objects, options)
    _put(result, json.dumps(asdict(sizes)).encode())
    return sizes


class NotCompiled(Exception):
    """The compiler or the linker refused something."""


@dataclass(frozen=True)
class Trial:
    """One project and how it is compiled."""

    project: Path
    compiler: str
    core: tuple[str, ...]
    link_core: tuple[str, ...]
    release: tuple[str, ...]
    names: tuple[str, ...]
    small: frozenset[str]
    definitions: tuple[str, ...]
    arrays: Mapping[str, str]
    library: Library | None = None

    @classmethod
    def of(cls, project: Path, compiler: str, inputs: ProjectInputs) -> Trial:
        """As templates/CMakeLists.txt.j2 and templates/cmake/board.cmake.j2 put it together."""
        lists = source_lists(inputs)
        library = inputs.library
        app = app_sources(project) if library is None else [MAIN]
        small = [*lists["runtime"], *lists["platform"]]
        if inputs.npu is not None:
            small += [f"sdk/drivers/ethos_u/{DRIVER_FILES[name]}.cpp" for name in ("failed", "mmio")]
        names = ["model/plan.cpp", *lists["model"], *small, *app]
        accelerator = inputs.npu.accelerator if inputs.npu is not None else None
        defined = [
            f"MCU_HAS_TOKENIZER={int(inputs.language_model is not None or inputs.tokenizer is not None)}",
            *definitions(inputs.board, accelerator),
        ]
        if inputs.profile:
            defined.append("MCU_PROFILE")
        if library is not None:
            names.insert(0, "model/api.cpp")
        tools, core = inputs.board.tools, inputs.board.core.flags
        sections = SECTIONS if library is None else library.sections
        arrays = {f".weights.{piece.region}": piece.array for piece in inputs.layout.pieces}
        return cls(
            project,
            compiler,
            tuple(tools.compile_flags(core)),
            tuple(tools.link_flags(core)),
            flags.release(inputs.optimize, whole_program=tools.whole_program),
            tuple(names),
            frozenset([*small, *app]),
            tuple(defined),
            arrays or {sections["weights"]: "model_pte"},
            library,
        )

    def command(self, name: str) -> list[str]:
        """The compiler's arguments for one source; of the definitions those that it or what it includes asks for."""
        if name.endswith(".S"):
            options = [*self.core, *flags.SECTIONS]
        else:
            language = [f"-std=c++{flags.STANDARD}", *flags.CXX] if not name.endswith(".c") else ["-xc"]
            options = [*self.core, *self.release, *language, *flags.SECTIONS]
            if name in self.small:
                options += flags.RUNTIME
            elif self.library is not None:
                options += [*self.library.options, *flags.CXX]
            if name.rpartition("/")[2] in flags.NO_LTO_SOURCES:
                options += flags.NO_LTO
        text = "".join(self.closure(name))
        defined = [f"-D{one}" for one in self.definitions if one.partition("=")[0] in text]
        return [*options, *defined, *self.included(), "-I.", "-Isdk", "-c", name]

    def included(self) -> list[str]:
        """What a library's sources are compiled with besides."""
        return ["-Iinclude", "-include", SYMBOLS] if self.library is not None else []

    def closure(self, name: str) -> list[str]:
        """The text of a source and of everything of the project that it includes."""
        found: dict[str, str] = {}
        waiting = [name] if self.library is None else [name, SYMBOLS]
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            found[path] = (self.project / path).read_text(encoding="utf-8", errors="replace")
            for included in re.findall(r'^\s*#\s*include\s+["<]([^">]+)[">]', found[path], re.MULTILINE):
                beside = (
                    os.path.normpath(os.path.join(start, included))
                    for start in (os.path.dirname(path), ".", "sdk", "include")
                )
                waiting += [file for file in beside if (self.project / file).is_file()][:1]
        return [f"{path}\n{text}" for path, text in sorted(found.items())]

    def compile(self, command: Sequence[str], result: Path) -> None:
        """One object, written beside and renamed."""
        with tempfile.TemporaryDirectory(dir=result.parent) as beside:
            output = Path(beside) / "object.o"
            self.run([*command, "-o", str(output)])
            os.replace(output, result)

    def link_options(self) -> list[str]:
        """The linker's arguments but for files."""
        linker = [f"-Wl,{option}" for option in flags.LINKER]
        linker += [f"-Wl,-u,{name}" for name in self.library.functions] if self.library else []
        return [*self.link_core, *self.release, *flags.LINK, *linker]

    def link(self, objects: Sequence[Path], options: Sequence[str]) -> CodeSizes:
        """Link `objects` and read the sizes."""
        libraries = [f"-l{library}" for library in flags.LIBRARIES]
        (self.project / "model_in_trial.S").write_text(_model(self.arrays))
        inputs = list(map(str, objects))
        if any(name.startswith("MCU_COPIES") for name in self.definitions):  # a list that is still to be made
            inputs += [f"-Wl,--defsym=__copies_{end}=0" for end in ("start", "end")]
        # where CMake has it, behind the plan: order decides what lies beside what
        inputs.insert(self.names.index("model/plan.cpp") + 1, "model_in_trial.S")
        command = [
            *options,
            *self.included(),
            "-T",
            "cmake/board.ld",
            *inputs,
            *libraries,
            "-o",
            "firmware.elf",
        ]
        self.run(command, LINKER)
        found = read_sizes(self.project / "firmware.elf")
        ends = [section.address + section.size for section in found.sections if section.name in _CODE]
        begin = min(section.address for section in found.sections if section.name in _CODE)
        stack = None
        if self.library is not None:
            stack = calls_bound(self.project / "firmware.elf", self.library.functions).bytes
        return CodeSizes(max(ends) - begin, found.size(".tokenizer"), found.data, found.bss, stack)

    def run(self, arguments: Sequence[str], program: str = "") -> None:
        """The compiler, or another program, in the project's folder."""
        environment = {**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"}
        finished = subprocess.run(
            [program or self.compiler, *arguments],
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise NotCompiled(finished.stderr)


def _key(arguments: Sequence[str], contents: Sequence[str]) -> str:
    """What decides an object: the compiler's version and arguments, and what it reads."""
    digest = hashlib.sha256()
    for part in (*arguments, "\0", *contents):
        digest.update(hashlib.sha256(part.encode("utf-8", "replace")).digest())
    return digest.hexdigest()


def _version(program: str) -> str:
    """Of a compiler: its file's path, size and time, which need no process."""
    real = Path(shutil.which(program) or program).resolve()
    return f"{real} {real.stat().st_size} {real.stat().st_mtime_ns}"


@contextmanager
def _cache(keep: bool) -> Iterator[Path]:
    """Where objects are: in the cache, or in a folder for this once if that cannot be or is not to be written."""
    if keep:
        folder = cache.cache_folder() / _OBJECTS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(folder, os.W_OK)
        except OSError:
            writable = False
        if writable:
            yield folder
            return
    with tempfile.TemporaryDirectory() as once:
        yield Path(once)


def _put(path: Path, content: bytes) -> None:
    """A file, whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as beside:
        beside.write(content)
    os.replace(beside.name, path)
