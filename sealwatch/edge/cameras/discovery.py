"""WS-Discovery (OASIS, October 2005 draft, as ONVIF's core specification, 7.3, uses it): who answers on this network?

A probe is sent to the multicast group from every network of the machine, since an installer's node often has two, and
several times, since UDP loses some. What comes back is anybody's word: it is read with limits and without entities, and
nobody but the machine that answered is ever talked to.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from sealwatch.edge.cameras import library
from sealwatch.edge.cameras.sheet import Sheet

GROUP: Final = "239.255.255.250"
PORT: Final = 3702
WAIT_S: Final = 4.0
_REPEATS_S: Final = (0.0, 0.3, 1.0)
_MOST_BYTES: Final = 32_768
_MOST_ANSWERS: Final = 500
_DISCOVERY: Final = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_SCOPE: Final = "onvif://www.onvif.org/"
# Makers differ in which of the two types they answer to.
_TYPES: Final = (
    ("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter"),
    ("http://www.onvif.org/ver10/device/wsdl", "Device"),
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network card of this machine."""

    name: str
    index: int


def networks() -> list[Network]:
    """Every network card but the machine's own loopback."""
    return [Network(name, index) for index, name in socket.if_nameindex() if name != "lo"]


def find(
    cards: Sequence[Network] | None = None,
    *,
    wait_s: float = WAIT_S,
    port: int = PORT,
    repeats_s: Sequence[float] = _REPEATS_S,
) -> list[Sheet]:
    """The cameras that answer within `wait_s`, by address, each once. Raises UsageError without the extra ``onvif``."""
    etree = library.module("lxml.etree")
    sockets = list(filter(None, (_socket(card) for card in (networks() if cards is None else cards))))
    found: dict[str, Sheet] = {}
    try:
        began_s = time.monotonic()
        due = [(began_s + at_s, number) for number, at_s in enumerate(repeats_s)]
        while (now_s := time.monotonic()) < began_s + wait_s:
            while due and due[0][0] <= now_s:
                _probe(sockets, due.pop(0)[1], port)
            until_s = min([began_s + wait_s, *(at_s for at_s, _ in due[:1])])
            for data, sender in _received(sockets, max(0.0, until_s - time.monotonic())):
                sheet = read_answer(etree, data, sender)
                if sheet is not None and len(found) < _MOST_ANSWERS:
                    found.setdefault(sheet.xaddr, sheet)
    finally:
        for one in sockets:
            one.close()
    return sorted(found.values(), key=lambda sheet: (_order(sheet.host), sheet.xaddr))


def _order(host: str) -> tuple[int, str]:
    try:
        return int(ipaddress.ip_address(host)), host
    except ValueError:
        return 0, host


def _socket(card: Network) -> socket.socket | None:
    """A socket whose multicasts leave through `card`, or None for one that has no IPv4."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@4s4si", bytes(4), bytes(4), card.index))
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        one.bind(("", 0))
        one.setblocking(False)
    except OSError:
        one.close()
        return None
    return one


def _probe(sockets: Sequence[socket.socket], number: int, port: int) -> None:
    namespace, kind = _TYPES[number % len(_TYPES)]
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        f' xmlns:d="{_DISCOVERY}" xmlns:n="{namespace}">'
        f"<e:Header><w:MessageID>uuid:{uuid.uuid4()}</w:MessageID>"
        "<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"
        f"<w:Action>{_DISCOVERY}/Probe</w:Action></e:Header>"
        f"<e:Body><d:Probe><d:Types>n:{kind}</d:Types></d:Probe></e:Body></e:Envelope>"
    ).encode()
    for one in sockets:
        with contextlib.suppress(OSError):  # a card without a cable has no route to the group
            one.sendto(text, (GROUP, port))


def _received(sockets: Sequence[socket.socket], wait_s: float) -> list[tuple[bytes, str]]:
    """What has come by the first arrival, or nothing after `wait_s`."""
    import select

    if not sockets:
        time.sleep(wait_s)
        return []
    answers = []
    for one in select.select(sockets, [], [], wait_s)[0]:
        with contextlib.suppress(OSError):
            data, (sender, _) = one.recvfrom(_MOST_BYTES)
            answers.append((data, sender))
    return answers


def read_answer(etree: Any, data: bytes, sender: str) -> Sheet | None:
    """What one datagram says of a camera at the address `sender`, or None where it is no answer of one."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    match = root.find(f".//{{{_DISCOVERY}}}ProbeMatch")
    if match is None:
        return None
    addresses = (match.findtext(f"{{{_DISCOVERY}}}XAddrs") or "").split()
    xaddr = xaddr_of(addresses, sender)
    if not xaddr:
        return None
    said = scopes((match.findtext(f"{{{_DISCOVERY}}}Scopes") or "").split())
    maker, model = said.get("manufacturer") or said.get("name", ""), said.get("hardware", "")
    return Sheet(host=sender, xaddr=xaddr, maker=maker, model=model)


def xaddr_of(addresses: Sequence[str], sender: str) -> str:
    """The device service's address on the machine that answered, whatever host it claims; empty where there is none.

    A camera behind another router, or a false one, names hosts that are not its own; a password goes to none of them.
    """
    for address in addresses:
        with contextlib.suppress(ValueError):
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") and parts.hostname == sender:
                return at_host(address, sender)
    for address in addresses:
        with contextlib.suppress(ValueError):
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") and parts.hostname:
                return at_host(address, sender)
    return ""


def at_host(address: str, host: str) -> str:
    """The same address, without user and password, at another host. Raises ValueError for a port that is none."""
    parts = urlsplit(address)
    place = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{place}:{parts.port}" if parts.port else place, parts.path, parts.query, ""))


def scopes(said: Sequence[str]) -> dict[str, str]:
    """The first value of each of ONVIF's scopes, such as ``name`` and ``hardware``."""
    values: dict[str, str] = {}
    for scope in said:
        if scope.startswith(_SCOPE):
            kind, _, value = scope[len(_SCOPE) :].partition("/")
            values.setdefault(kind.lower(), printable(unquote(value)))
    return values


def printable(text: str | None) -> str:
    """A camera's own words without what could move a terminal's cursor, 80 characters at most."""
    return "".join(c for c in text or "" if c.isprintable()).strip()[:80]
