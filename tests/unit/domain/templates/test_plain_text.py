"""The text of an email from its HTML."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.domain.templates.plain_text import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<p>one\n  two</p>\n<div>three</div><div>four</div>", "one two\n\nthree\nfour"),
        ("a<br>b<br/>c<br><br>d", "a\nb\nc\n\nd"),
        ("a <b>bold</b>, <i>b</i>c", "a bold, bc"),
        ("5 &lt; 6 &amp;&nbsp;&copy; &#34;x&#34;", '5 < 6 & © "x"'),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<html><head><title>t</title><style>a > b {}</style></head><body>x</body></html>", "x"),
        ("<script>if (a<b) { '</p>' }</SCRIPT>x", "x"),
        ("<div style='display:none'>pre<div>view</div></div>x", "x"),
        ("<!-- no --><!--[if mso]><p>no</p><![endif]--><!doctype html><?xml ?>x", "x"),
        ("<a href='https://a.b/?x=1&amp;y=2'>Go</a> on", "Go (https://a.b/?x=1&y=2) on"),
        ("<a href=https://a.b>https://a.b/</a> <a href='mailto:a@b.c'>a@b.c</a>", "https://a.b/ a@b.c"),
        ("<a href='#top'>Top</a> <a>Name</a> <a href='javascript:x()'>Run</a>", "Top Name Run"),
        ("<a href='https://a.b'><img src=x alt='Our &amp; logo'></a><img src=y>", "Our & logo (https://a.b)"),
        ("<a href='https://a.b'><img src=x></a>", "https://a.b"),
        ("<a title='a > b' href='https://a.b'>x</a>", "x (https://a.b)"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>d</p>", "- a\n- b\n  - c\n\nd"),
        ("<ol><li>a<li>b</ol><ol><li>c</ol>", "1. a\n2. b\n\n1. c"),
        ("<table><tr><th>Item</th><th>Price</th></tr><tr><td>Tea</td>\n<td>2.50</td></tr></table>",
         "Item  Price\nTea  2.50"),
        ("<table><tr><td><p>one</p></td></tr></table>two", "one\n\ntwo"),
        ("a<hr>b", "a\n\n--------------------\n\nb"),
        ("<pre>  a\n    b</pre>c", "  a\n    b\n\nc"),
        ("x <a href='y", "x"),
        ("x <!-- y", "x"),
        ("x</", "x"),
        ("x<", "x<"),
    ],
)  # fmt: skip
def test_html_reads_as_text(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    "piece",
    ["<", "</", "<a", '<a "', "<a '", "<!--", "<!", "<?", "<p>", "<ul><li>", "<ol><li>", "<a href=x>y", "</a>", "<pre>",
     "&", "<script>", "<style></style>", "<td>", "<br>", "<div style=display:none>", "<img alt=", "<a href='", "<p >",
     "a=", " "],
)  # fmt: skip
def test_broken_page_takes_time_by_its_size_only(piece: str) -> None:
    begun = time.process_time()
    text_of(piece * (300_000 // len(piece)))
    text_of("<a " + piece * (300_000 // len(piece)) + ">x</a>")
    assert time.process_time() - begun < 5


@given(st.text(st.sampled_from("<>/!-=\"' &;abplitdruhe\n"), max_size=60))
def test_any_text_is_read(html: str) -> None:
    assert isinstance(text_of(html), str)
