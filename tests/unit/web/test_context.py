"""A request's id: the caller's where it is a sane one."""

from __future__ import annotations

import pytest

from web.context import open_context


@pytest.mark.parametrize("given", [b"a", b"checkout-7.a_B", b"x" * 128])
def test_id_is_sane_is_taken_over(given: bytes) -> None:
    assert open_context({"headers": [(b"x-request-id", given)]}).request_id == given.decode()


@pytest.mark.parametrize("given", [b"", b" a", b"a b", b"x" * 129, b"a\n", b"\xe9", b"<script>", b"a/b"])
def test_id_is_odd_is_replaced(given: bytes) -> None:
    assert open_context({"headers": [(b"x-request-id", given)]}).request_id.startswith("req_")


def test_id_is_missing_is_made_and_never_the_same() -> None:
    first, second = (open_context({"headers": []}).request_id for _ in range(2))
    assert first != second
