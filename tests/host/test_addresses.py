"""Where something is, as people type it, as cards say it, as it is shown; and where a server listens by its options."""

from pathlib import Path

import pytest

from tessera_host.cli.listening import Listening
from tessera_host.errors import UsageError
from tessera_host.protocol import addresses
from tessera_host.protocol.addresses import Address
from tests.support.certificate import make_certificate

TCP = Address("relay.example.org", 8100)
WSS = Address.of("wss://relay.example.org/berlin", 443)


@pytest.mark.parametrize(
    ("typed", "port", "said", "shown"),
    [
        ("relay.example.org", None, ("relay.example.org", 8100), "relay.example.org:8100"),
        ("relay.example.org", 9000, ("relay.example.org", 9000), "relay.example.org:9000"),
        ("relay.example.org:9000", None, ("relay.example.org", 9000), "relay.example.org:9000"),
        ("relay.example.org:9000", 9000, ("relay.example.org", 9000), "relay.example.org:9000"),
        ("10.0.0.7:8100", None, ("10.0.0.7", 8100), "10.0.0.7:8100"),
        ("::1", None, ("::1", 8100), "[::1]:8100"),
        ("::1", 9000, ("::1", 9000), "[::1]:9000"),
        ("[::1]", None, ("::1", 8100), "[::1]:8100"),
        ("[2001:db8::7]:9000", None, ("2001:db8::7", 9000), "[2001:db8::7]:9000"),
        ("2001:db8::7:9000", None, ("2001:db8::7:9000", 8100), "[2001:db8::7:9000]:8100"),
        ("[fe80::1%eth0]:8100", None, ("fe80::1%eth0", 8100), "[fe80::1%eth0]:8100"),
        ("wss://relay.example.org/berlin", None, ("wss://relay.example.org/berlin", 443), None),
        ("wss://relay.example.org", None, ("wss://relay.example.org", 443), None),
        ("wss://relay.example.org/", None, ("wss://relay.example.org", 443), "wss://relay.example.org"),
        ("wss://relay.example.org:8443/a/b", None, ("wss://relay.example.org/a/b", 8443), None),
        ("wss://relay.example.org/a", 8443, ("wss://relay.example.org/a", 8443), "wss://relay.example.org:8443/a"),
        ("wss://relay.example.org:443/a", None, ("wss://relay.example.org/a", 443), "wss://relay.example.org/a"),
        ("ws://10.0.0.7:8180", None, ("ws://10.0.0.7", 8180), None),
        ("ws://10.0.0.7", None, ("ws://10.0.0.7", 80), None),
        ("wss://[2001:db8::7]:8443/a", None, ("wss://[2001:db8::7]/a", 8443), None),
    ],
)
def test_what_is_typed_is_said_and_shown_and_may_be_typed_again(
    typed: str, port: int | None, said: tuple[str, int], shown: str | None
) -> None:
    assert addresses.typed(typed, port, 8100) == said
    assert addresses.shown(*said) == (shown or typed)
    assert addresses.typed(addresses.shown(*said), None, 8100) == said


NONE = (
    *("", " ", "a b", "a/b", "-x", "ü.example", "a:b:c", "a:", "a:x", "[::1", "::1]", "[a]", "[::1]8100", ":8100"),
    *("a:0", "a:65536", "a:8100:8100", "http://a", "https://a/b", "x" * 300),
    *("wss://", "wss:///b", "wss://u:p@a/b", "wss://a/b?c", "wss://a/b#c", "wss://::1/a", "wss://[a]/b", "wss:/a"),
    *("wss://a:0/b", "wss://a/ü", f"wss://a/{'b' * 300}"),
)


@pytest.mark.parametrize("typed", NONE)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        addresses.typed(typed, None, 8100)


def test_two_ports_are_refused() -> None:
    with pytest.raises(UsageError, match="give the port once"):
        addresses.typed("relay.example.org:9000", 8100, 8100)


def test_an_address_of_a_later_program_is_shown_all_the_same() -> None:
    assert addresses.shown("quic://relay.example.org", 443) == "quic://relay.example.org port 443"


# -- where a server listens


@pytest.mark.parametrize(
    ("told", "options", "places"),
    [
        (TCP, {}, ["relay.example.org:8100"]),
        (TCP, {"host": "::", "port": 9000}, ["[::]:9000"]),
        (TCP, {"websocket": "8180"}, ["relay.example.org:8100", "ws://127.0.0.1:8180"]),
        (TCP, {"websocket": "[::1]:8180"}, ["relay.example.org:8100", "ws://[::1]:8180"]),
        (WSS, {"websocket": "8180"}, ["ws://127.0.0.1:8180"]),
        (WSS, {"websocket": "8180", "host": "::"}, ["ws://[::]:8180"]),
        (WSS, {"websocket": "10.0.0.7:8180", "port": 8100}, ["relay.example.org:8100", "ws://10.0.0.7:8180"]),
        (WSS, {"certificate": True}, ["wss://relay.example.org:443"]),
        (WSS, {"certificate": True, "websocket": "8443", "host": "0.0.0.0"}, ["wss://0.0.0.0:8443"]),
        (Address.of("ws://10.0.0.7", 8180), {}, ["ws://10.0.0.7:8180"]),
    ],
)
def test_a_server_listens_where_members_were_told_or_where_options_say(
    told: Address, options: dict[str, object], places: list[str], tmp_path: Path
) -> None:
    chosen = dict(options)
    if chosen.pop("certificate", False):
        chosen["certificate"], chosen["certificate_key"] = make_certificate(tmp_path, "DNS:relay.example.org")
    assert [str(place) for place in Listening(**chosen).places(told)] == places  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "options", "wrong"),
    [
        (WSS, {}, "members were told wss://relay.example.org/berlin, which needs TLS"),
        (TCP, {"certificate": Path("x")}, "--certificate is for WebSockets"),
        (TCP, {"websocket": "0"}, "not a port to listen on"),
        (TCP, {"websocket": "relay.example.org"}, "not a port to listen on"),
        (TCP, {"websocket": "::1"}, "not a port to listen on"),
        (TCP, {"websocket": "wss://relay.example.org:443/a"}, "not a port to listen on"),
    ],
)
def test_options_that_make_no_sense_are_explained(told: Address, options: dict[str, object], wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong) as error:
        Listening(**options).places(told)  # type: ignore[arg-type]
    assert error.value.hint
