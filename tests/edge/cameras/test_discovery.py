"""Who answers on the network, and what is not believed of an answer."""

from __future__ import annotations

import socket

import pytest
from lxml import etree

from sealwatch.edge.cameras import discovery
from sealwatch.edge.cameras.discovery import read_answer, scopes, xaddr_of
from sealwatch.simulator.onvif_camera import OnvifCamera
from tests.edge.cameras.network import found, loopback

ANSWER = """<?xml version="1.0"?>{dtd}
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>
<d:ProbeMatches xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><d:ProbeMatch>
<d:Scopes>onvif://www.onvif.org/name/{name}</d:Scopes><d:XAddrs>{xaddrs}</d:XAddrs>
</d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"""


def answer(xaddrs: str, *, name: str = "Eye", dtd: str = "") -> bytes:
    return ANSWER.format(xaddrs=xaddrs, name=name, dtd=dtd).encode()


def test_a_camera_is_found_once_with_what_its_scopes_say() -> None:
    with OnvifCamera() as camera:
        (one,) = found(camera)
    assert (one.host, one.xaddr, one.maker, one.model) == ("127.0.0.1", camera.xaddr, "ACME Eye", "EY-4")


def test_two_cameras_behind_one_group_are_both_found() -> None:
    with OnvifCamera() as first, OnvifCamera(discovery_port=first.discovery_port) as second:
        assert {one.xaddr for one in found(first, wait_s=1.0)} == {first.xaddr, second.xaddr}


def test_nobody_there_is_an_empty_list_after_the_time_and_no_network_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("", 0))
        assert discovery.find(loopback(), wait_s=0.1, port=quiet.getsockname()[1]) == []
    assert discovery.find([], wait_s=0.05) == []


@pytest.mark.parametrize(
    ("addresses", "xaddr"),
    [
        (["http://10.0.0.9/onvif/device_service"], "http://10.0.0.9/onvif/device_service"),
        (["http://[fe80::1]/onvif", "http://10.0.0.9:8000/onvif"], "http://10.0.0.9:8000/onvif"),
        (["http://192.168.1.64:8000/onvif/device_service"], "http://10.0.0.9:8000/onvif/device_service"),
        (["http://bait:word@bank.example/x"], "http://10.0.0.9/x"),
        (["file:///etc/passwd", "rtsp://10.0.0.9/"], ""),
        (["http://10.0.0.9:port/"], ""),
        ([], ""),
    ],
)
def test_only_the_machine_that_answered_is_ever_talked_to(addresses: list[str], xaddr: str) -> None:
    assert xaddr_of(addresses, "10.0.0.9") == xaddr


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<a/>",
        b"<" * 30_000,
        answer(""),
        answer("&boom;", dtd='<!DOCTYPE a [<!ENTITY boom "http://10.0.0.9/x">]>'),
        answer("&f;", dtd='<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]>'),
    ],
)
def test_what_is_no_answer_of_a_camera_is_passed_over(data: bytes) -> None:
    assert read_answer(etree, data, "10.0.0.9") is None


def test_a_cameras_own_words_cannot_move_the_cursor_of_a_terminal() -> None:
    assert scopes(["onvif://www.onvif.org/name/%1b%5b2JEye%0a", "onvif://other/name/x"]) == {"name": "[2JEye"}
    one = read_answer(etree, answer("http://10.0.0.9/x", name="%E4%BA%95%E5%8F%A3" + "a" * 500), "10.0.0.9")
    assert one is not None
    assert one.maker.startswith("井口")
    assert len(one.maker) == 80
