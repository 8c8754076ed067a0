"""MJML to HTML, and what is refused before a converter without an end to its recursion sees it."""

from __future__ import annotations

import pytest

from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.domain.templates import mjml
from hermod.domain.templates.compiled import compile_template
from hermod.domain.templates.meter import TemplateFault

BODY = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
TEXT = BODY.format("<mj-text>{}</mj-text>")


def test_mjml_becomes_html_with_its_variables_escaped_and_a_text() -> None:
    source = BODY.format(
        "{% for name in names %}<mj-text>Hello {{ name }}<br></mj-text>{% endfor %}"
        "<mj-button href='https://a.b/?a=1&amp;b={{ names|length }}'>Go</mj-button>"
    )
    words = compile_template(Channel.EMAIL, {"subject": "x", "mjml": source}).fill({"names": ["A<b>", "C"]}).words()
    assert set(words) == {"subject", "html", "text"}
    assert words["html"].startswith("<!doctype html>")
    assert "Hello A&lt;b&gt;" in words["html"]
    assert words["text"] == "Hello A<b>\nHello C\n\nGo (https://a.b/?a=1&b=2)"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hello", "is no MJML"),
        ("<html></html>", "is no MJML"),
        ("<mjml><mj-body>", "has no </mj-body>"),
        ("<mjml>\n<mj-body></mjml>", "has a </mjml> that ends nothing"),
        (TEXT.format("1 < 2"), "write &lt;"),
        (TEXT.format("<a href='>'>"), "write &lt;"),
        (TEXT.format("<![CDATA[x]]>"), "write &lt;"),
        (TEXT.format("<!--> <div> -->"), "write &lt;"),
        (TEXT.format("<!-- --!> <div> -->"), "write &lt;"),
        ("<mjml><mj-body><mj-include path='/etc/passwd' /></mj-body></mjml>", "mj-include is not available"),
        (TEXT.format("<div>" * 20_000 + "</div>" * 20_000), "has tags more than 100 levels deep"),
        ("<mjml><mj-body>" + "<mj-wrapper>" * 9_000 + "</mj-wrapper>" * 9_000, "has tags more than 100 levels deep"),
        (TEXT.format("x" * 300_000), "comes to more than 256 KiB"),
    ],
)  # fmt: skip
def test_what_is_no_mjml_is_refused(source: str, words: str) -> None:
    with pytest.raises(TemplateFault, match=words):
        mjml.html_of(source)


def test_what_is_deep_within_the_bound_is_converted() -> None:
    assert "x" in mjml.html_of(TEXT.format("<div>" * 90 + "x<br><img src='a'>" + "</div>" * 90))


def test_mjml_where_it_is_not_installed_is_refused_when_it_is_put(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mjml, "AVAILABLE", False)
    with pytest.raises(InvalidInput, match="install hermod with its extra `mjml`"):
        compile_template(Channel.EMAIL, {"subject": "x", "mjml": TEXT})
