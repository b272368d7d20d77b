"""Tables of texts and of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcu_sdk.errors import UsageError
from mcu_sdk.project.features import inputs_of
from mcu_sdk.project.rows import Example, find_table, read_examples, read_rows
from mcu_sdk.project.tensors import Border


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_texts_with_labels(tmp_path: Path) -> None:
    csv = written(tmp_path, '\ufefftext,text_pair,label\r\n"on, ""off""\nor",,yes\r\n\r\nlamp, light ,2\r\n')
    wanted = [Example(2, 'on, "off"\nor', None, "yes"), Example(5, "lamp", " light ", "2")]
    assert read_examples(csv, labels=True) == wanted
    lines = '{"label": "yes", "text": "é"}\n\n{"text": "b", "text_pair": "", "label": 1}\n'
    jsonl = written(tmp_path, lines, "t.jsonl")
    assert read_examples(jsonl, labels=True) == [Example(1, "é", None, "yes"), Example(3, "b", "", "1")]
    assert read_examples(written(tmp_path, "text\na\n"), labels=False) == [Example(2, "a", None, "")]


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        ("", "t.csv", "is empty"),
        ("text,label\n", "t.csv", "has no rows"),
        ("\n \n", "t.jsonl", "has no rows"),
        ("sentence,label\na,b\n", "t.csv", "found are 'sentence', 'label', without text"),
        ("text\na\n", "t.csv", "without label"),
        ("text,label,idx\na,b,1\n", "t.csv", "'idx', others"),
        ("text,text,label\na,b,c\n", "t.csv", "twice the same"),
        ("text,label\na\n", "t.csv", "line 2 has 1"),
        ('text,label\n"a,b\n', "t.csv", "is no CSV"),
        (b"text,label\n\xff,b\n", "t.csv", "byte 11 is not"),
        ("[1]\n", "t.jsonl", "found list"),
        ("{'text': 1}\n", "t.jsonl", "line 1, is no JSON"),
        ('{"text": "a", "label": "b", "x": 1}\n', "t.jsonl", "line 1: the columns"),
        ('{"text": 3, "label": "b"}\n', "t.jsonl", "text was expected to be text, found int"),
        ('{"text": "a", "label": null}\n', "t.jsonl", "not to be null"),
        ("text,label\na,b\n", "t.txt", "A .csv or .jsonl file was expected"),
    ],
)
def test_tables_that_are_not_as_expected(content: str | bytes, name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\S") as caught:
        read_examples(written(tmp_path, content, name), labels=True)
    assert words in str(caught.value)


def test_the_table_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it has none"):
        find_table(tmp_path)
    table = written(tmp_path, "text,label\n", "test.CSV")
    (tmp_path / "README.md").write_text("x")
    assert find_table(tmp_path) == table == find_table(table)
    written(tmp_path, "", "train.jsonl")
    with pytest.raises(UsageError, match=r"it has test.CSV, train.jsonl"):
        find_table(tmp_path)
    with pytest.raises(UsageError, match="no file or folder"):
        find_table(tmp_path / "nothing")


X = Border("x", "float32", (1, 2), (0, 1), 8)
Q = Border("q", "int8", (2,), (0,), 2, (0.5, 3))
ROW = Border("row", "int64", (1,), (0,), 8)


def test_numbers_become_inputs(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,c,d,e\n1,2.5,1e3,-9,7\n.1,-2,0,.5,-1\n")
    kept, inputs = inputs_of(read_rows(path), [X, Q, ROW], path)
    assert [row.line for row in kept] == [2, 3] and inputs.stacked
    x, q, row = inputs.steps[0]
    assert x.dtype == np.float32 and x.tolist() == [[1, 2.5]]
    assert q.dtype == np.int8 and q.tolist() == [127, -15] and row.tolist() == [7]
    assert inputs.steps[1][1].tolist() == [3, 4] and inputs.steps[1][0][0, 0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1,2,3\n", "reads 5 numbers a row (x float32[1, 2], q int8[2], row int64[1]); the rows of"),
        ("a,b,c,d,e\n", "no rows behind its line of names"),
        ("1,2,3,4,5\n1,2,,4,5\n", "line 2, cell 3: a finite number was expected, not ''"),
        ("1,nan,3,4,5\n", "cell 2: a finite number"),
        ("1,2,3,4,inf\n", "cell 5: a finite number"),
        ("1,2,3,4,0.5\n", "line 1: the input row is int64[1], which cannot hold 0.5"),
        ("1e39,2,3,4,5\n", "cannot hold 1e+39"),
        ("1,b,3,4,5\n", "cell 2: a finite number was expected, not 'b'"),
    ],
)
def test_numbers_that_no_input_takes(content: str, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UsageError) as caught:
        inputs_of(read_rows(path), [X, Q, ROW], path)
    assert words in str(caught.value)
