"""What an answer comes to, byte for byte: the status line decides, whatever becomes of the rest."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.outbound.http.http1_connection import LONGEST_HEAD, Answer, InvalidAnswer, request_head
from hermod.outbound.http.timing import Timing

OK = b"HTTP/1.1 200 OK\r\n"


async def read(pieces: Iterable[bytes], *, closed: bool = False, most: int = 100) -> Answer:
    """An answer after these pieces, and after the end of the connection where that is said.

    Raises what it comes to without a status line, and TimeoutError where it has not ended.
    """
    answer = Answer(most, Timing())
    for piece in pieces:
        answer.feed(piece)
    if closed:
        answer.closed(None)
    async with asyncio.timeout(0):
        await answer.until_ended()
    return answer


WHOLE = {
    "length": (OK + b"Content-Length: 2\r\n\r\nok", 200, b"ok"),
    "chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n", 200, b"ok"),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "informational before": (
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: z\r\n\r\n"
        + OK
        + b"Content-Length: 0\r\n\r\n",
        200,
        b"",
    ),
    "line feeds alone": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok"),
    "a folded header": (OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "error": (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", 503, b"no"),
}
BROKEN = {
    "a body of a 204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nnull", 204, b""),
    "a chunked 204": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 204, b""),
    "longer than told": (OK + b"Content-Length: 2\r\n\r\nokay", 200, b"ok"),
    "length twice": (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, b""),
    "length below zero": (OK + b"Content-Length: -2\r\n\r\nok", 200, b""),
    "length that is none": (OK + b"Content-Length: two\r\n\r\nok", 200, b""),
    "length and chunked": (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, b""),
    "a broken chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", 200, b"ok"),
    "no header": (OK + b"what is this\r\n\r\n", 200, b""),
    "a header of 300 KB": (OK + b"X: " + b"y" * (LONGEST_HEAD + 1), 200, b""),
    "other protocols": (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nPRI", 101, b""),
    "longer than is read": (OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 101, 200, b"x" * 100),
    "closed by word": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
}
CUT = {
    "after the status": (OK, b"", False),
    "in a header": (OK + b"Content-Le", b"", False),
    "in the body": (OK + b"Content-Length: 9\r\n\r\nok", b"ok", False),
    "in a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nok", b"ok", False),
    "after a body without a length": (OK + b"\r\nok", b"ok", True),
    "after a coding that says no length": (OK + b"Transfer-Encoding: gzip\r\n\r\nok", b"ok", True),
}
NONE = [
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"<html>",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 20x OK\r\n\r\n",
    b"HTTP/1.1 OK\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000,
]


@pytest.mark.parametrize(("said", "status", "body"), WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("piece", [1, 7, 10_000])
async def test_whole_answer_leaves_its_connection_for_more(said: bytes, status: int, body: bytes, piece: int) -> None:
    answer = await read(said[at : at + piece] for at in range(0, len(said), piece))
    assert (answer.status, bytes(answer.body), answer.complete, answer.reusable) == (status, body, True, True)


@pytest.mark.parametrize(("said", "status", "body"), BROKEN.values(), ids=BROKEN)
async def test_status_line_decides_and_the_connection_is_not_used_again(said: bytes, status: int, body: bytes) -> None:
    answer = await read([said])
    assert (answer.status, bytes(answer.body), answer.reusable) == (status, body, False)


@pytest.mark.parametrize(("said", "body", "complete"), CUT.values(), ids=CUT)
async def test_answer_that_breaks_off_has_its_status(said: bytes, body: bytes, complete: bool) -> None:
    answer = await read([said], closed=True)
    assert (answer.status, bytes(answer.body), answer.complete, answer.reusable) == (200, body, complete, False)


async def test_status_line_that_breaks_off_is_none() -> None:
    with pytest.raises(OSError, match="closed before an answer"):
        await read([b"HTTP/1.1 2"], closed=True)


@pytest.mark.parametrize("said", NONE)
async def test_what_is_no_http_is_no_answer(said: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        await read([said])


async def test_headers_are_those_of_the_answer_alone() -> None:
    said = WHOLE["informational before"][0]
    assert (await read([said])).headers == [(b"Content-Length", b"0")]
    trailing = await read([WHOLE["chunked"][0]])
    assert trailing.headers == [(b"Transfer-Encoding", b"chunked")]


async def test_what_comes_after_the_answer_spoils_the_connection() -> None:
    answer = await read([WHOLE["length"][0], b"HTTP/1.1 200 OK\r\n"])
    assert (answer.status, answer.complete, answer.reusable) == (200, True, False)


def pieces_of(said: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(said) + 1) for cut in cuts), len(said)]
    return [said[begin:end] for begin, end in pairwise(at)]


def read_now(pieces: list[bytes], *, closed: bool) -> Answer | Exception:
    try:
        return asyncio.run(read(pieces, closed=closed))
    except (OSError, InvalidAnswer) as error:
        return error


@given(
    st.sampled_from([said for said, *_ in (*WHOLE.values(), *BROKEN.values()) if len(said) < 1000]),
    st.lists(st.tuples(st.integers(0, 500), st.binary(min_size=0, max_size=3)), max_size=3),
    st.lists(st.integers(0, 500), max_size=3),
)
def test_whatever_comes_is_an_answer_or_none(said: bytes, spoilt: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """Answers with other bytes in them, in pieces, and then the end of the connection."""
    for at, instead in spoilt:
        at %= len(said) + 1
        said = said[:at] + instead + said[at + 1 :]
    found = read_now(pieces_of(said, cuts), closed=True)
    if isinstance(found, Answer):
        assert found.status is not None
        assert len(found.body) <= 100
        assert not found.reusable or found.complete
    whole = read_now([said], closed=True)
    assert isinstance(found, Answer) == isinstance(whole, Answer)
    if isinstance(found, Answer) and isinstance(whole, Answer):
        assert (found.status, found.body, found.complete) == (whole.status, whole.body, whole.complete)


@given(st.lists(st.binary(max_size=50), max_size=4))
def test_garbage_never_raises_anything_else(pieces: list[bytes]) -> None:
    read_now(pieces, closed=True)


def test_head_is_as_it_goes_over_the_wire() -> None:
    head = request_head("POST", b"/v1?a=%2F", [(b"Host", b"example.com"), (b"X-A", "ż".encode())])
    assert head == "POST /v1?a=%2F HTTP/1.1\r\nHost: example.com\r\nX-A: ż\r\n\r\n".encode()


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
@pytest.mark.parametrize("where", ["name", "value", "target"])
def test_head_with_a_line_break_in_it_is_refused(value: bytes, where: str) -> None:
    name, said, target = (value if where == part else b"x" for part in ("name", "value", "target"))
    with pytest.raises(ValueError, match="line break"):
        request_head("POST", target, [(name, said)])


async def test_answer_that_was_read_leaves_nothing_for_the_collector() -> None:
    """A cycle for each request would keep the collector busy, and memory with it."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await read([WHOLE["length"][0]])
            with pytest.raises(InvalidAnswer):
                await read([b"SSH-2.0\r\n"])
        left = [one for one in gc.get_objects() if isinstance(one, Answer)]
    finally:
        gc.enable()
    assert left == []
