"""What `make bench` makes of tokenizers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import texts
from benchmarks.texts import Row
from mcu_sdk.board.board import load_board

ROW = Row("mps2-an386", "bytes", 49152, 27, encode=20_000, decode=500, table_bytes=500_000)


def test_a_row_complains_beyond_its_bars() -> None:
    assert not ROW.complaint
    assert "20,001 instructions a token" in replace(ROW, encode=20_001).complaint
    assert "500,001 bytes of tables" in replace(ROW, table_bytes=500_001).complaint
    assert not replace(ROW, name="unigram", table_bytes=10**6).complaint
    assert "| cortex-m4 | bytes | 49,152 | 27 | 20,000 | 500 | 500,000 |" in texts.markdown([ROW])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "characters", "unigram"])
def test_made_up_tokenizers_are_within_their_bars(kind: str) -> None:
    """On the device they have the library's number of tokens."""
    row = texts.measure(kind, *texts.made_up(kind), load_board("mps2-an386"))
    assert row.vocabulary == texts.VOCABULARY and not row.complaint
