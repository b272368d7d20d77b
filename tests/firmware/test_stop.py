"""Where an answer with stop texts ends: the device's code against its specification."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcu_sdk import resources
from mcu_sdk.model.stops import cut
from mcu_sdk.project.compile_flags import cxx_flags

SOURCE = """
#include "runtime/stop.h"
static StopTexts stops;
static int32_t put(uint8_t* out, int32_t said, int32_t count) {
    for (int32_t i = 0; i < count; ++i) out[said + i] = stops.held()[i];
    stops.drop(count);
    return said + count;
}
// Shows `text` byte by byte into `out`; returns how many bytes that were, and how many were read and held at most.
extern "C" int32_t show(const uint8_t* texts, int32_t bytes, const uint8_t* text, int32_t count, uint8_t* out,
                        int32_t* read, int32_t* most) {
    stops.start(texts, bytes);
    int32_t said = 0;
    *most = 0;
    for (*read = 0; *read < count && !stops.found(); ++*read) {
        said = put(out, said, stops.take(text[*read]));
        if (!stops.found() && stops.held_count() > *most) *most = stops.held_count();
    }
    return stops.found() ? said : put(out, said, stops.held_count());
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("stop")
    (folder / "a.cpp").write_text(SOURCE)
    undefined = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    flags = cxx_flags(None, "-O1", "-fPIC", "-shared", *undefined)
    source = resources.firmware() / "runtime" / "stop.cpp"
    command = ["g++", *flags, f"-I{resources.firmware()}", "a.cpp", str(source), "-o", "a.so"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return ctypes.CDLL(str(folder / "a.so"))


def device(library: ctypes.CDLL, stops: Sequence[bytes], text: bytes) -> tuple[bytes, int, int]:
    packed = b"".join(bytes((len(stop),)) + stop for stop in stops)
    out, read, most = ctypes.create_string_buffer(len(text) + 1), ctypes.c_int32(), ctypes.c_int32()
    count = library.show(packed, len(packed), text, len(text), out, ctypes.byref(read), ctypes.byref(most))
    return out.raw[:count], read.value, most.value


FEW = st.binary(min_size=1, max_size=6).map(lambda data: bytes(97 + byte % 3 for byte in data))


@given(st.lists(FEW, max_size=4), st.lists(st.one_of(FEW, st.just(b"")), max_size=12))
@example([b"ab", b"xaby"], [b"xa", b"by"])
@example([b"b", b"ab"], [b"aab"])
@example([b"aab"], [b"a", b"a", b"a", b"b", b"c"])
def test_the_text_ends_where_the_specification_says(
    library: ctypes.CDLL, stops: list[bytes], pieces: list[bytes]
) -> None:
    text, count = cut(pieces, stops)
    shown, read, most = device(library, stops, b"".join(pieces))
    assert shown == text
    assert most < max(map(len, stops), default=1)
    before, whole = (b"".join(pieces[:end]) for end in (max(count - 1, 0), count))
    assert len(before) <= read <= len(whole)
    assert count == len(pieces) or any(whole[:read].endswith(stop) for stop in stops)


def test_nothing_is_held_that_can_no_longer_end_the_answer(library: ctypes.CDLL) -> None:
    long = bytes(range(64, 128))
    assert device(library, [long], long[:-1] + b"!") == (long[:-1] + b"!", 64, 63)
    assert device(library, [long], b"so: " + long + b"more") == (b"so: ", 68, 63)


def test_header_and_host_agree_on_the_longest(library: ctypes.CDLL) -> None:
    from mcu_sdk.targets.protocol import LONGEST_STOP

    header = (resources.firmware() / "runtime" / "stop.h").read_text()
    assert f"kMostStopBytes = {LONGEST_STOP};" in header
