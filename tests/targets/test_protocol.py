"""The run protocol: requests as the firmware reads them, transcripts out of any bytes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.errors import McuSdkError, RunError, TextError, UsageError
from mcu_sdk.targets.protocol import (
    LARGEST_FACT_LINE,
    End,
    Event,
    Fact,
    Listener,
    News,
    Parser,
    Request,
    Text,
    Transcript,
    new_number,
)
from mcu_sdk.targets.verdict import check_verdict
from tests.targets.firmware import Firmware, is_whole

BOOT = b"\n@mcu model=ab12\n@mcu name=my model (2)\n@mcu ready=1\n"
ANSWER = b"Hello\nthere\n@mcu tokens=2\n@mcu ids=5,6\n@mcu arena=1 kv_cache=2\n@mcu verdict=ok\n\x04"


def events_of(*pieces: bytes) -> list[Event]:
    """Events with neighbouring texts joined: where text is cut is no part of the protocol."""
    parser = Parser()
    joined: list[Event] = []
    for event in [e for piece in pieces for e in parser.feed(piece)] + parser.close():
        if isinstance(event, Text) and joined and isinstance(joined[-1], Text):
            joined[-1] = Text(joined[-1].data + event.data)
        else:
            joined.append(event)
    return joined


# ---- requests


def test_a_request_for_text_carries_it_as_hexadecimal() -> None:
    request = Request(text="Grüße", tokens=7, temperature=0.8, top_k=40, seed=3)
    assert request.encode() == b"@run tokens=7 temperature=0.8 top_k=40 seed=3 text=4772c3bcc39f65\n"


def test_a_request_that_goes_on_behind_the_end_says_so() -> None:
    assert b" past_end=1 ids=1\n" in Request(ids=(1,), past_end=True).encode()
    assert b"past_end" not in Request(ids=(1,)).encode()


def test_settings_that_change_something_are_said_and_no_others() -> None:
    request = Request(
        ids=(1,),
        temperature=1,
        top_p=0.9,
        min_p=0.05,
        repetition_penalty=1.2,
        logit_bias={13: -5.25, 42: 1},
    )
    assert request.encode() == (
        b"@run tokens=100 temperature=1 top_k=0 seed=0 top_p=0.9 min_p=0.05 repetition_penalty=1.2 "
        b"logit_bias=13:-5.25,42:1 ids=1\n"
    )
    assert hash(request) == hash(replace(request, logit_bias=((13, -5.25), (42, 1))))
    off = Request(ids=(1,), top_p=1, min_p=0, repetition_penalty=1, logit_bias=[])
    assert off.encode() == Request(ids=(1,)).encode()


def test_a_request_for_ids_and_one_for_steps() -> None:
    assert Request(ids=(12, 7)).encode() == b"@run tokens=100 temperature=0 top_k=0 seed=0 ids=12,7\n"
    assert Request(steps=3, seed=9).encode() == b"@run steps=3 seed=9\n"


@given(st.floats(0, 1000))
def test_temperatures_have_at_most_six_digits_and_no_exponent(temperature: float) -> None:
    word = (
        Request(ids=(1,), temperature=temperature).encode().split()[2].removeprefix(b"temperature=").decode()
    )
    # Half of the sixth digit, exactly: a difference of floats would be rounded itself.
    assert abs(Decimal(word) - Decimal(temperature)) <= Decimal("5e-7")
    assert set(word) <= set("0123456789.") and len(word.partition(".")[2]) <= 6


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(text="a", ids=(1,)),
        Request(text=""),
        Request(ids=()),
        Request(ids=(-1,)),
        Request(ids=(2**31,)),
        Request(text="a", tokens=-1),
        Request(text="a", top_k=2**31),
        Request(text="a", temperature=-0.1),
        Request(text="a", temperature=float("nan")),
        Request(text="a", temperature=float("inf")),
        Request(text="a", seed=2**64),
        Request(text="a", seed=-1),
        Request(steps=0),
        *(Request(text="a", top_p=value) for value in (0, -1, 1.01, 1e-9, float("nan"))),
        *(Request(text="a", min_p=value) for value in (-0.1, 1.01, 1e-9, float("nan"))),
        *(Request(text="a", repetition_penalty=value) for value in (0, -1, 1001, float("nan"))),
        *(Request(text="a", logit_bias=[(1, value)]) for value in (1001, -1001, 1e-9, float("nan"))),
        *(Request(text="a", logit_bias=[(token, 1)]) for token in (-1, 2**31)),
        Request(text="a", logit_bias=[(1, 1), (1, 2)]),
        Request(text="a", logit_bias=[(token, 1) for token in range(17)]),
    ],
)
def test_what_the_firmware_would_refuse_is_refused_here(request_: Request) -> None:
    with pytest.raises(UsageError):
        request_.encode()


def test_a_lone_surrogate_is_no_prompt() -> None:
    with pytest.raises(TextError, match="UTF-8"):
        Request(text="a\ud800").encode()


# ---- parsing


def test_text_and_facts_are_told_apart() -> None:
    assert events_of(BOOT + ANSWER) == [
        Fact("model", "ab12"),
        Fact("name", "my model (2)"),
        Fact("ready", "1"),
        Text(b"Hello\nthere"),
        Fact("tokens", "2"),
        Fact("ids", "5,6"),
        Fact("arena", "1"),
        Fact("kv_cache", "2"),
        Fact("verdict", "ok"),
        End(),
    ]


@given(st.lists(st.integers(0, len(BOOT + ANSWER)), max_size=12))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    data = BOOT + ANSWER
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    assert events_of(*pieces) == events_of(data)


# Bytes out of which marks, half marks and facts are likely to come.
soup = st.lists(
    st.sampled_from(
        [b"\n", b"@", b"@mc", b"@mcu ", b"@mcu a=1", b"\r", b"=", b"x", b"\xff", b"\x00", b"\x04", b" "]
    )
    | st.binary(max_size=3),
    max_size=30,
).map(b"".join)


@given(soup, st.integers(1, 5))
def test_any_bytes_can_be_parsed_in_any_pieces(data: bytes, size: int) -> None:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert events_of(*pieces) == events_of(data)


@given(soup)
def test_nothing_but_facts_and_their_line_breaks_disappears(data: bytes) -> None:
    events = events_of(data)
    if not any(isinstance(event, Fact) for event in events):
        kept = b"".join(event.data if isinstance(event, Text) else b"\x04" for event in events)
        assert kept == data


def test_text_is_passed_on_as_soon_as_it_cannot_become_a_fact() -> None:
    parser = Parser()
    assert parser.feed(b"\nab") == [Text(b"\nab")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"@mcx") == [Text(b"\n@mcx")]
    assert parser.feed(b"@mcu a=1\n") == [Text(b"@mcu a=1")]  # not at the start of a line
    assert parser.close() == [Text(b"\n")]


def test_a_mark_without_a_fact_and_an_endless_line_are_text() -> None:
    assert events_of(b"@mcu hello\nx") == [Text(b"@mcu hello\nx")]
    endless = b"@mcu a=" + b"1" * (LARGEST_FACT_LINE + 10)
    assert events_of(endless + b"\n") == [Text(endless + b"\n")]
    assert events_of(b"@mcu a=1") == [Text(b"@mcu a=1")]  # cut off: not to be trusted


def test_carriage_returns_do_not_become_part_of_values() -> None:
    assert events_of(b"@mcu a=1\r\n@mcu b=2\r\n") == [Fact("a", "1"), Fact("b", "2")]


# ---- listening

NUMBER = 4711


def said_by_firmware(text: bytes, facts: bytes = b"", number: int = NUMBER, verdict: bytes = b"ok") -> bytes:
    """A whole answer."""
    sent = bytearray()
    firmware = Firmware(sent.extend)
    assert firmware.start(Request(ids=(1,)).encode(number))
    firmware.write(text + (b"\n" if text else b"") + facts)
    firmware.end(verdict)
    return bytes(sent)


WHOLE = said_by_firmware(b"Hello\nthere", b"@mcu tokens=2\n@mcu model=ab12\n@mcu ids=5,6\n")


def listen(data: bytes, size: int = 1 << 16) -> tuple[Transcript, list[str], list[News]]:
    said: list[str] = []
    listener = Listener(NUMBER, said.append)
    news: list[News] = []
    for begin in range(0, len(data), size):
        news += listener.feed(data[begin : begin + size])
        if News.ANSWERED in news:
            break
    return listener.transcript(), said, news


def test_numbers_and_crcs_are_in_the_request_line() -> None:
    line = Request(ids=(12, 7), tokens=3).encode(NUMBER)
    assert line.startswith(b"@run request=4711 tokens=3 ") and is_whole(line)
    assert not is_whole(line.replace(b"12,7", b"2,7"))
    with pytest.raises(UsageError, match="number"):
        Request(ids=(1,)).encode(0)
    assert len({new_number() for _ in range(100)}) == 100


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_transcript_has_text_and_facts(size: int) -> None:
    transcript, said, news = listen(BOOT + WHOLE, size)
    assert news == [News.READY, News.STARTED, News.ANSWERED]
    assert transcript.text == "".join(said) == "Hello\nthere"
    assert (transcript.verdict, transcript.model, transcript.ids) == ("ok", "ab12", (5, 6))
    assert transcript.number("tokens") == 2 and transcript.number("name") is None
    assert "request" not in transcript.facts and "crc" not in transcript.facts
    assert check_verdict(transcript, "a test") is transcript


def test_what_comes_before_and_behind_is_not_the_answer() -> None:
    earlier = said_by_firmware(b"old", b"@mcu digest=01\n", number=NUMBER + 1)
    noise = b"boot loader 1.0\n\x04\x00\xff@mcu verdict=ok\n\x04"
    transcript, said, news = listen(earlier[9:] + noise + BOOT + earlier + WHOLE + b"after the end")
    assert transcript.text == "Hello\nthere" == "".join(said)
    assert transcript.digest is None and news[-1] is News.ANSWERED
    assert news.count(News.OTHER) == 2


def test_a_verdict_without_a_number_is_a_complaint() -> None:
    listener = Listener(NUMBER)
    said = b"@mcu npu_status=0x0\n@mcu verdict=error reason=bus_fault\n\x04"
    assert listener.feed(BOOT + said) == [News.READY, News.OTHER]
    assert listener.complaint == Transcript(
        "", {"npu_status": "0x0", "verdict": "error", "reason": "bus_fault"}
    )


def test_a_complaint_right_behind_an_answer_is_heard() -> None:
    complaint = b"@mcu verdict=error reason=line_too_long\n\x04"
    assert events_of(b"\x04" + complaint)[1:3] == [Fact("verdict", "error"), Fact("reason", "line_too_long")]
    listener = Listener(NUMBER)
    assert listener.feed(b"\x04" + complaint) == [News.OTHER] and listener.complaint is not None


def test_every_lost_and_every_changed_byte_is_noticed() -> None:
    """None of them may give another answer; what is not noticed at once must not be an end."""
    right = listen(WHOLE)[0]
    for place in range(len(WHOLE)):
        for changed in (b"", b"\x04", bytes((WHOLE[place] ^ 1,))):
            transcript, _, news = listen(WHOLE[:place] + changed + WHOLE[place + 1 :])
            assert News.ANSWERED not in news or transcript == right, (place, changed)


def test_an_answer_that_begins_again_counts_from_there() -> None:
    cut = WHOLE[: WHOLE.index(b"there")]
    transcript, said, news = listen(cut + BOOT + WHOLE)
    assert news == [News.STARTED, News.READY, News.STARTED, News.ANSWERED]
    assert transcript.text == "Hello\nthere" and "".join(said) == "Hello\n\nHello\nthere"


def test_a_line_that_changes_line_ends_changes_no_answer() -> None:
    assert listen(WHOLE.replace(b"\n", b"\r\n"))[2][-1] is News.ANSWERED


@given(
    st.text(st.characters(exclude_characters="\x04", exclude_categories=["Cs"]), max_size=40),
    st.integers(1, 3),
)
def test_text_survives_in_any_encoding_length(text: str, size: int) -> None:
    if "@mcu " in text:
        return
    transcript, said, _ = listen(BOOT + said_by_firmware(text.encode()), size)
    assert transcript.text == "".join(said) == text


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert listen(said_by_firmware(b"a\xffb\xe2\x82"))[0].text == "a�b�"


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({}, RunError, "without a verdict"),
        ({"verdict": "error", "reason": "text_not_encodable"}, TextError, "cannot encode"),
        ({"verdict": "error", "reason": "prompt_too_long"}, UsageError, "longer than"),
        (
            {"verdict": "error", "reason": "bus_fault", "pc": "0010", "model": "x"},
            RunError,
            r"bus_fault \(pc=0010\)",
        ),
        ({"verdict": "error"}, RunError, "unknown"),
        ({"verdict": "maybe"}, RunError, "unknown"),
    ],
)
def test_a_verdict_that_is_not_ok_is_an_error(
    facts: dict[str, str], error: type[McuSdkError], words: str
) -> None:
    with pytest.raises(error, match=words):
        check_verdict(Transcript("", facts), "a test")


def test_ids_and_numbers_that_are_none_are_not_believed() -> None:
    transcript = Transcript("", {"ids": "1,,2", "tokens": "-3", "steps": "9" * 30})
    assert transcript.ids == () and transcript.number("tokens") is None and transcript.number("steps") is None
