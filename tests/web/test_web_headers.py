"""What headers say: versions, addresses, ids."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.asks import Failure
from gateway.web.headers import if_match, peer_address, request_id, single

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "said", "address"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        (None, ["198.51.100.7"], None),
        ("fe80::1%eth0", [], "fe80::1"),
        ("10.0.0.1", ["fe80::7%4111 1111 1111 1111"], "fe80::7"),
    ],
)
def test_the_address_is_the_first_hop_that_is_not_ours(peer: str | None, said: list[str], address: str | None) -> None:
    """What a client writes in front of it is never reached, what is no address ends the walk. Behind an address there
    is nothing: a zone may be any text, a card number or a line's end too."""
    headers = CIMultiDict([("X-Forwarded-For", line) for line in said])
    assert peer_address(peer, headers, TRUSTED) == address


@given(st.lists(st.text(max_size=20), max_size=4))
def test_a_forwarded_address_is_an_address(said: list[str]) -> None:
    """Nothing else can get into the trail by this header."""
    headers = CIMultiDict([("X-Forwarded-For", ", ".join(said))])
    found = peer_address("10.0.0.1", headers, TRUSTED)
    assert found is not None
    assert str(ip_address(found)) == found


@given(st.lists(st.integers(min_value=0, max_value=10**17), min_size=1, max_size=5))
def test_a_list_of_versions_is_read_whole(versions: list[int]) -> None:
    """In one header or in several."""
    said = CIMultiDict([("If-Match", ", ".join(f'"{version}"' for version in versions))])
    several = CIMultiDict([("If-Match", f'"{version}"') for version in versions])
    assert if_match(said) == if_match(several) == tuple(versions)


@given(st.text(max_size=30))
def test_any_if_match_is_a_condition_or_a_named_fault(said: str) -> None:
    """It is never silently no condition."""
    places: list[str] = []
    try:
        condition = if_match(CIMultiDict([("If-Match", said)]))
    except Failure as failure:
        condition, places = None, [fault.field for fault in failure.faults]
    assert (condition is None) is (places == ["If-Match"])


def test_a_star_beside_a_tag_is_malformed() -> None:
    """Also over two headers."""
    with pytest.raises(Failure):
        if_match(CIMultiDict([("If-Match", '"3"'), ("If-Match", "*")]))


def test_no_header_is_no_condition() -> None:
    """The absence of If-Match is not a star."""
    assert if_match(CIMultiDict()) is None


def test_two_request_ids_are_none() -> None:
    """One of ours takes their place."""
    said = CIMultiDict([("X-Request-Id", "abcdefgh"), ("X-Request-Id", "abcdefgi")])
    assert request_id(said, lambda _: False) not in {"abcdefgh", "abcdefgi"}


def test_a_header_that_is_there_twice_is_the_empty_one() -> None:
    """Which no check accepts; one that is not there is None."""
    assert single(CIMultiDict([("X-API-Key", "a"), ("X-API-Key", "b")]), "X-API-Key") == ""
    assert single(CIMultiDict([("X-API-Key", "a")]), "X-API-Key") == "a"
    assert single(CIMultiDict(), "X-API-Key") is None
