"""Which addresses may be dialled: the table of ranges, IPv6 forms of IPv4, spellings, names and URLs."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from hermod.contracts.errors import InvalidInput
from hermod.outbound.addresses.dial import resolved
from hermod.outbound.addresses.guard import AddressGuard, AddressRefused, NameRefused, is_public
from tests.support.hostile import Names

PRIVATE = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "192.80.8.124",
    "161.26.0.10",
    "166.9.1.1",
    "100.100.100.200",
    "::",
    "::1",
    "::7f00:1",
    "fc00::1",
    "fdff::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "2001::1",
    "2001:1ff::1",
    "5f00::1",
    "64:ff9b:1::a00:1",
]
INNER_PRIVATE = [
    "::ffff:127.0.0.1",
    "64:ff9b::a83f:8110",
    "::ffff:10.1.2.3",
    "::ffff:0:192.168.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
]
PUBLIC = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "2001:200::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", PRIVATE + INNER_PRIVATE)
def test_guard_address_off_limits_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(AddressRefused):
        AddressGuard().check_host(address)
    AddressGuard(allow_private=True).check_host(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_guard_public_address_passes(address: str) -> None:
    assert is_public(ip_address(address))
    AddressGuard().check_host(address)


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.1", "0177.0.0.1", "0x7f000001", "10.1", "127.0.0.1."])
def test_guard_unusual_spelling_of_an_address_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        AddressGuard().check_host(host)


@pytest.mark.parametrize("host", ["api.example.com", "1.example.com", "123abc.example", "x--1"])
def test_guard_name_passes_until_it_is_resolved(host: str) -> None:
    AddressGuard().check_host(host)


async def test_resolved_public_answers_are_passed_on() -> None:
    answers = ["1.1.1.1", "2606:4700::1111"]
    found = await resolved("example.com", 443, AddressGuard(), Names(answers))
    assert [address[:2] for *_, address in found] == [(answer, 443) for answer in answers]


@pytest.mark.parametrize("answers", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["2606:4700::1111", "::ffff:10.0.0.1"]])
async def test_resolved_any_answer_off_limits_refuses_the_name(answers: list[str]) -> None:
    with pytest.raises(NameRefused):
        await resolved("example.com", 443, AddressGuard(), Names(answers))
    assert len(await resolved("example.com", 443, AddressGuard(allow_private=True), Names(answers))) == len(answers)


async def test_resolved_no_answer_is_a_failed_connection() -> None:
    with pytest.raises(OSError, match="no address"):
        await resolved("example.com", 443, AddressGuard(), Names([]))


@pytest.mark.parametrize(("address", "family"), [("1.1.1.1", socket.AF_INET), ("2606:4700::1111", socket.AF_INET6)])
async def test_resolved_address_is_not_looked_up(address: str, family: int) -> None:
    names = Names(None)
    ((kind, *_, (host, port, *_)),) = await resolved(address, 443, AddressGuard(), names)
    assert (kind, host, port, names.asked) == (family, address, 443, [])


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://api.example.com", "https"),
        ("ftp://api.example.com", "URL like"),
        ("https://", "URL like"),
        ("https://api.example.com:0", "URL like"),
        ("https://api.example.com:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://user:pass@api.example.com", "user name"),
        ("https://api.example.com/v1?key=1", "query"),
        ("https://api.example.com/v1#x", "fragment"),
        ("https://127.0.0.1/v1", "public"),
        ("https://[::1]:8443", "public"),
        ("https://[::ffff:10.0.0.1]", "public"),
        ("https://169.254.169.254/latest", "public"),
        ("https://2130706433", "public"),
        ("https://localhost", "this machine"),
        ("https://api.localhost.", "this machine"),
    ],
)
def test_guard_url_that_cannot_be_called_names_the_field(url: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        AddressGuard().check_url(url, "base_url")
    assert caught.value.errors[0].field == "base_url"
    assert says in caught.value.errors[0].message


@pytest.mark.parametrize(
    "host",
    [
        *("a..b.example", ".example.com", "example.com..", f"{'a' * 64}.example", ".".join(["a" * 60] * 5)),
        *("ex%61mple.com", "%65xample.com", "example.com%00", "-a.example", "a-.example", "1.2.3.4.5", "a!b.example"),
    ],
)
@pytest.mark.parametrize("allow_private", [False, True])
def test_guard_url_whose_host_is_no_name_is_refused(host: str, allow_private: bool) -> None:
    guard = AddressGuard(allow_private=allow_private)
    assert guard.url_fault(f"https://{host}/hook") is not None
    assert guard.host_fault(host) is not None


@pytest.mark.parametrize(
    "url",
    [
        *("HTTPS://example.com/x", "https://EXAMPLE.com.", f"https://{'a' * 63}.example", "https://a_b.example"),
        *(
            "https://bücher.example/",
            "https://xn--bcher-kva.example",
            "https://3com.example",
            "https://r3---sn.example",
        ),
    ],
)
def test_guard_url_whose_host_is_a_name_passes(url: str) -> None:
    assert AddressGuard().url_fault(url) is None


@pytest.mark.parametrize("url", ["https://api.example.com", "https://api.example.com:8443/v1/", "https://1.1.1.1"])
def test_guard_callable_url_passes(url: str) -> None:
    AddressGuard().check_url(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8090/sandbox", "http://localhost:1", "https://[::1]:8443"])
def test_guard_private_url_passes_where_it_is_allowed(url: str) -> None:
    AddressGuard(allow_private=True).check_url(url)


ALLOWED = ["10.20.0.0/16", "fd00:1::/32", "192.168.7.7", "Hooks.Internal.", "xn--bcher-kva.internal"]


@pytest.mark.parametrize(
    "address", ["10.20.0.1", "10.20.255.255", "192.168.7.7", "fd00:1::5", "::ffff:10.20.3.4", "64:ff9b::10.20.3.4"]
)
def test_guard_address_that_is_allowed_passes_under_any_name(address: str) -> None:
    guard = AddressGuard(allowed=ALLOWED)
    guard.check_host(address)
    guard.check_answers("hooks.example.com", ["1.1.1.1", address])
    guard.check_url(f"http://{f'[{address}]' if ':' in address else address}:8080/hook")


@pytest.mark.parametrize("address", ["10.21.0.1", "192.168.7.8", "127.0.0.1", "::ffff:10.21.0.1", "fd00:2::1", "::1"])
def test_guard_address_beside_the_allowed_ones_is_refused(address: str) -> None:
    guard = AddressGuard(allowed=ALLOWED)
    with pytest.raises(AddressRefused):
        guard.check_host(address)
    with pytest.raises(NameRefused):
        guard.check_answers("hooks.example.com", ["10.20.0.1", address])


@pytest.mark.parametrize("host", ["hooks.internal", "HOOKS.internal.", "xn--bcher-kva.internal"])
def test_guard_name_that_is_allowed_passes_wherever_it_leads(host: str) -> None:
    AddressGuard(allowed=ALLOWED).check_answers(host, ["127.0.0.1", "::1"])
    AddressGuard(allowed=ALLOWED).check_url(f"http://{host}/hook")


@pytest.mark.parametrize("host", ["a.hooks.internal", "hooks.internal.example.com", "internal", "xhooks.internal"])
def test_guard_name_beside_the_allowed_one_is_judged_by_its_answers(host: str) -> None:
    with pytest.raises(NameRefused):
        AddressGuard(allowed=ALLOWED).check_answers(host, ["127.0.0.1"])
    assert AddressGuard(allowed=ALLOWED).url_fault(f"http://{host}/hook") is not None


def test_guard_this_machine_by_name_passes_where_it_is_allowed() -> None:
    AddressGuard(allowed=["localhost"]).check_url("http://localhost:9000/hook")
    assert AddressGuard(allowed=["localhost"]).url_fault("http://api.localhost/hook") is not None


@pytest.mark.parametrize(
    "entry",
    ["", ".", "10.20.0.1/16", "10.20.0.0/33", "10.20.0", "0x7f.1", "*.internal", "a b", "http://a", "a:80", "-a"],
)
def test_guard_allowed_entry_that_is_neither_network_nor_name_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a network"):
        AddressGuard(allowed=[entry])


def test_guard_query_passes_where_it_may_be_and_a_fragment_never() -> None:
    guard = AddressGuard()
    guard.check_url("https://hooks.example.com/in?token=abc", query=True)
    assert guard.url_fault("https://hooks.example.com/in?token=abc") == "must not contain a query or a fragment"
    assert guard.url_fault("https://hooks.example.com/in#x", query=True) == "must not contain a fragment"


@pytest.mark.parametrize("user", ["ada", "ada:secret", ":secret", "ada:"])
def test_guard_user_in_the_url_of_a_webhook_is_refused_and_sent_to_the_headers(user: str) -> None:
    fault = AddressGuard(allow_private=True).url_fault(f"https://{user}@hooks.example.com/in", query=True)
    assert fault is not None
    assert fault.startswith("must not contain a user name or password; ")
    assert '"headers": {"authorization": "Basic ' in fault
    assert "ada" not in fault
    assert "secret" not in fault
