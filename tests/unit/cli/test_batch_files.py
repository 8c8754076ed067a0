"""Files of messages: every form, and what is said of lines that cannot be read."""

from __future__ import annotations

import io

import pytest

from starter.cli.notifications.batch_files import (
    Entry,
    Form,
    UnreadableFile,
    assignments,
    form_of,
    read_messages,
    with_defaults,
)


def read(content: str, form: Form | None = None) -> list[Entry]:
    return list(read_messages(io.StringIO(content, newline=""), form))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", Form.JSONL),
        ("A.NDJSON", Form.JSONL),
        ("a.json", None),
        ("a.csv", Form.CSV),
        ("-", None),
        ("a", None),
    ],
)
def test_file_has_a_name_tells_its_form(name: str, form: Form | None) -> None:
    assert form_of(name) is form


def test_json_lines_are_read_with_their_numbers() -> None:
    assert read('\n{"to": "a"}\n\n{"to": "b"}\n') == [Entry(2, {"to": "a"}), Entry(4, {"to": "b"})]


def test_json_line_is_cut_is_one_fault_among_the_others() -> None:
    first, second, third = read('{"to": "a"}\n{"to": \n{"to": "c"}\n')
    assert (first.given, third.given) == ({"to": "a"}, {"to": "c"})
    assert second.line == 2
    assert second.fault is not None


@pytest.mark.parametrize(
    "content",
    [
        '{"messages": [{"to": "a"}, 5]}',
        '[{"to": "a"}, 5]',
        '{\n "messages": [\n  {"to": "a"},\n  5\n ]\n}',
        '\n[{"to": "a"},\n5]',
    ],
)
def test_document_is_read_counts_its_messages(content: str) -> None:
    assert read(content) == [Entry(1, {"to": "a"}), Entry(2, 5)]


def test_document_is_one_message_is_read() -> None:
    assert read('{\n "to": "a"\n}') == [Entry(1, {"to": "a"})]


def test_csv_is_read_nests_splits_and_leaves_out() -> None:
    content = (
        'to,cc,metadata.order,data.a.b,subject\r\na@x.org,b@x.org; c@x.org,42,z,"one\r\ntwo"\r\n\r\nd@x.org,,,,\r\n'
    )
    assert read(content) == [
        Entry(
            2,
            {
                "to": "a@x.org",
                "cc": ["b@x.org", "c@x.org"],
                "metadata": {"order": "42"},
                "data": {"a": {"b": "z"}},
                "subject": "one\r\ntwo",
            },
        ),
        Entry(5, {"to": "d@x.org"}),
    ]


def test_csv_row_is_wrong_is_one_fault_among_the_others() -> None:
    entries = read("to,data,data.a\nx,1,2\na,b,c,d\ny,,3\n", Form.CSV)
    assert [(entry.line, entry.fault is None) for entry in entries] == [(2, False), (3, False), (4, True)]


def test_csv_has_a_stray_quote_is_a_fault_and_not_the_end() -> None:
    entries = read('to\na"b\n"c"d\n"e\n', Form.CSV)
    assert any(entry.fault for entry in entries)


def test_csv_cell_holds_a_template_as_json() -> None:
    (entry,) = read('to,template\n+1,"{""name"": ""a"", ""language"": ""en""}"\n')
    assert entry.given["template"] == {"name": "a", "language": "en"}
    (fault,) = read('to,template\n+1,"{oops"\n')
    assert fault.fault is not None


@pytest.mark.parametrize("header", ["to,to", "to,", ","])
def test_csv_names_its_columns_badly_is_unreadable(header: str) -> None:
    with pytest.raises(UnreadableFile):
        read(f"{header}\na,b\n", Form.CSV)


@pytest.mark.parametrize("content", ["5", '{"messages": 5}', "[1"])
def test_document_is_none_is_unreadable(content: str) -> None:
    with pytest.raises(UnreadableFile):
        read(content, Form.JSON)


@pytest.mark.parametrize("form", [None, *Form])
def test_file_is_empty_has_no_messages(form: Form | None) -> None:
    assert read("", form) == []
    assert read("\n \n", form) == []


def test_defaults_are_given_fill_what_is_left_out() -> None:
    defaults = assignments(["channel=sms", "body=a=b", "metadata.kind=otp"])
    assert defaults == {"channel": "sms", "body": "a=b", "metadata": {"kind": "otp"}}
    assert with_defaults(Entry(1, {"body": "x"}), defaults)["body"] == "x"
    assert with_defaults(Entry(1, 5), defaults) == 5
    with pytest.raises(ValueError, match="field=value"):
        assignments(["x"])
