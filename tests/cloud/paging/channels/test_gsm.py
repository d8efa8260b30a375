"""The modem channel over a pseudo-terminal, against a scripted modem that echoes, prompts and refuses like one."""

from __future__ import annotations

import os
import pty
import re
import select
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.paging.channels import gsm, gsm_inbox, gsm_pdu
from sealwatch.cloud.paging.channels.gsm import GsmChannel
from tests.cloud.paging.channels.vendor import a_request

NUMBER = "+8613800000000"


@dataclass
class Modem:
    """Answers by command; `after_dial` comes by itself once a call was dialled."""

    device: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    sent: str = "+CMGS: 42\r\n\r\nOK"
    after_dial: str = ""
    got: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def reply(self, command: str) -> str:
        for start, answer in self.answers.items():
            if command.startswith(start):
                return f"\r\n{answer}\r\n"
        usual = {"AT+CPIN?": "+CPIN: READY\r\n\r\nOK", "AT+CREG?": "+CREG: 0,1\r\n\r\nOK"}
        return f"\r\n{usual.get(command, 'OK')}\r\n"


@pytest.fixture
def modem() -> Iterator[Modem]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    scripted, stop = Modem(device=os.ttyname(theirs)), threading.Event()

    def run() -> None:
        held, in_text = "", False
        while not stop.is_set():
            if not select.select([ours], [], [], 0.02)[0]:
                continue
            held += os.read(ours, 1024).decode("ascii")
            while found := re.search("\x1a" if in_text else "\r", held):
                line, held = held[: found.start()], held[found.end() :]
                if in_text:
                    scripted.texts.append(line)
                    in_text = False
                    os.write(ours, f"\r\n{scripted.sent}\r\n".encode())
                    continue
                scripted.got.append(line)
                os.write(ours, f"{line}\r".encode())  # the echo
                if line.startswith("AT+CMGS") and "AT+CMGS" not in scripted.answers:
                    in_text = True
                    os.write(ours, b"\r\n> ")
                    continue
                os.write(ours, scripted.reply(line).encode())
                if line.startswith("ATD") and scripted.after_dial:
                    os.write(ours, f"\r\n{scripted.after_dial}\r\n".encode())

    thread = threading.Thread(target=run)
    thread.start()
    yield scripted
    stop.set()
    thread.join()
    os.close(ours)
    os.close(theirs)


def test_a_chinese_page_goes_out_in_pdu_mode_in_linked_parts(modem: Modem) -> None:
    submission = GsmChannel(device=modem.device).submit(a_request(NUMBER, title="井" * 80))
    assert (submission.ok, submission.outcome) == (True, "taken: the network took it as 42, 42")
    assert "AT+CMGF=0" in modem.got
    assert decoded(modem.texts) == "井" * 80 + "\nhttps://seal.example/a/x"


def test_a_plain_english_page_goes_out_in_text_mode(modem: Modem) -> None:
    submission = GsmChannel(device=modem.device).submit(a_request(NUMBER, title="RED Pit 1: person"))
    assert submission.ok
    assert modem.texts == ["RED Pit 1: person https://seal.example/a/x"]
    assert f'AT+CMGS="{NUMBER}"' in modem.got


@pytest.mark.parametrize(
    ("code", "reason", "retry", "pause_s"),
    [
        (331, "not_registered", True, 0),
        (310, "sim_missing", False, 300),
        (27, "telephone_unreachable", False, 0),
        (999, "vendor_refused", False, 0),
    ],
)
def test_a_cms_error_has_a_name(modem: Modem, code: int, reason: str, retry: bool, pause_s: float) -> None:
    modem.sent = f"+CMS ERROR: {code}"
    submission = GsmChannel(device=modem.device).submit(a_request(NUMBER))
    assert (submission.ok, submission.reason, submission.retry, submission.pause_s) == (False, reason, retry, pause_s)


def test_ok_without_the_networks_receipt_is_no_success(modem: Modem) -> None:
    modem.sent = "OK"
    submission = GsmChannel(device=modem.device).submit(a_request(NUMBER))
    assert (submission.ok, submission.reason) == (False, "modem_trouble")


def test_a_locked_sim_gets_its_pin_once(modem: Modem) -> None:
    modem.answers["AT+CPIN?"] = "+CPIN: SIM PIN\r\n\r\nOK"
    assert GsmChannel(device=modem.device, pin="1234").submit(a_request(NUMBER)).ok
    assert modem.got.count('AT+CPIN="1234"') == 1


def test_a_refused_pin_is_never_given_again_and_never_shown(modem: Modem) -> None:
    modem.answers |= {"AT+CPIN?": "+CPIN: SIM PIN\r\n\r\nOK", "AT+CPIN=": "+CME ERROR: 16"}
    channel = GsmChannel(device=modem.device, pin="1234")
    outcomes = [channel.submit(a_request(NUMBER)) for _ in range(3)]
    assert [outcome.reason for outcome in outcomes] == ["sim_locked"] * 3
    assert modem.got.count('AT+CPIN="1234"') == 1
    assert not any("1234" in outcome.outcome for outcome in outcomes)


def test_a_modem_without_network_is_tried_again_and_sends_nothing(modem: Modem) -> None:
    modem.answers |= {"AT+CREG?": "+CREG: 0,2\r\n\r\nOK", "AT+CEREG?": "ERROR"}
    submission = GsmChannel(device=modem.device).submit(a_request(NUMBER))
    assert (submission.reason, submission.retry) == ("not_registered", True)
    assert modem.texts == []


def test_a_modem_registered_over_lte_only_sends(modem: Modem) -> None:
    modem.answers |= {"AT+CREG?": "+CREG: 0,0\r\n\r\nOK", "AT+CEREG?": "+CEREG: 0,5\r\n\r\nOK"}
    assert GsmChannel(device=modem.device).submit(a_request(NUMBER)).ok


@pytest.mark.parametrize(("event", "key"), [("+RXDTMF: 1", "1"), ("+DTMF:2,160", "2")])
def test_a_key_in_the_call_takes_the_page_and_the_modem_hangs_up(modem: Modem, event: str, key: str) -> None:
    modem.after_dial = event
    submission = GsmChannel(device=modem.device, mode="call").submit(a_request(NUMBER))
    assert (submission.ok, submission.outcome) == (True, f"taken: key {key} was pressed in the call")
    assert modem.got[-2:] == [f"ATD{NUMBER};", "ATH"]


@pytest.mark.parametrize("event", ["BUSY", "NO ANSWER", "NO CARRIER"])
def test_a_call_nobody_takes_is_a_failure_that_lets_the_ladder_go_on(modem: Modem, event: str) -> None:
    modem.after_dial = event
    submission = GsmChannel(device=modem.device, mode="call").submit(a_request(NUMBER))
    assert (submission.ok, submission.retry, submission.reason) == (False, False, "not_answered")


def test_an_answered_call_without_a_key_is_not_taken_where_the_modem_hears_keys(modem: Modem) -> None:
    modem.answers["AT+CLCC"] = f'+CLCC: 1,0,0,0,0,"{NUMBER}",145\r\n\r\nOK'
    channel = GsmChannel(device=modem.device, mode="call", answer_wait_s=1.5)
    assert channel.submit(a_request(NUMBER)).reason == "no_key_pressed"


def test_an_answered_call_is_taken_where_the_modem_hears_no_keys(modem: Modem) -> None:
    modem.answers |= {"AT+CLCC": f'+CLCC: 1,0,0,0,0,"{NUMBER}",145\r\n\r\nOK', "AT+DDET": "ERROR"}
    submission = GsmChannel(device=modem.device, mode="call").submit(a_request(NUMBER))
    assert (submission.ok, submission.reason) == (True, "answered")


def test_a_port_that_is_not_there_is_said() -> None:
    submission = GsmChannel(device="/dev/there-is-no-modem").submit(a_request(NUMBER))
    assert (submission.ok, submission.reason, submission.retry) == (False, "modem_trouble", True)


@pytest.mark.parametrize("address", ["", "abc", '1";AT+CFUN=0', "1" * 30])
def test_what_is_no_number_never_reaches_the_modem(modem: Modem, address: str) -> None:
    for mode in ("sms", "call"):
        submission = GsmChannel(device=modem.device, mode=mode).submit(a_request(address, title="plain"))
        assert submission.reason == "number_unusable"
    assert not any(command.startswith(("ATD", "AT+CMGS")) for command in modem.got)


def test_a_known_pdu() -> None:
    (pdu,) = gsm_pdu.submit("+8613800000000", "井", reference=0)
    assert (pdu.hexadecimal, pdu.octets) == ("0001000D91683108000000F00008024E95", 16)


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=330))
def test_any_text_of_up_to_five_parts_comes_out_whole(text: str) -> None:
    parts = gsm_pdu.submit(NUMBER, text, reference=7)
    assert all(part.octets <= 175 for part in parts)
    if len(text.encode("utf-16-be")) <= 5 * 134 - 8:
        assert decoded([part.hexadecimal for part in parts]) == text
    else:
        assert decoded([part.hexadecimal for part in parts]).endswith("…") or len(parts) <= gsm_pdu.MAX_PARTS


def test_every_code_has_a_reason() -> None:
    assert all(gsm.judge_cms(code).reason for code in gsm.CMS)


def decoded(pdus: list[str]) -> str:
    """Reads PDUs back as a telephone does."""
    parts = {}
    for pdu in pdus:
        raw = bytes.fromhex(pdu)
        digits = raw[3]
        data_at = 5 + (digits + 1) // 2 + 3
        data = raw[data_at:]
        assert raw[data_at - 1] == len(data) <= 140
        if raw[1] & 0x40:
            assert data[:3] == b"\x05\x00\x03"
            parts[data[5]] = data[6:]
            assert data[4] == len(pdus)
        else:
            parts[1] = data
    return b"".join(parts[number] for number in sorted(parts)).decode("utf-16-be")


# Messages that came in. The PDUs were put together by hand after 3GPP TS 23.040, 9.2.2.1.
_CENTRE = "0891683108200505F0"
_FROM = "0D91683108000000F0"  # +8613800000000
_STAMP = "62116220120032"


def came(scheme: str, length: int, data: str, first: str = "04") -> str:
    return f"{_CENTRE}{first}{_FROM}00{scheme}{_STAMP}{length:02X}{data}"


@pytest.mark.parametrize(
    ("pdu", "text"),
    [
        (came("00", 1, "31"), "1"),
        (came("00", 10, "E8329BFD4697D9EC37"), "hellohello"),
        (came("08", 4, "53BB0021"), "去!"),
        (came("08", 10, "05000301020153BB4E86", first="44"), "去了"),
    ],
)
def test_a_message_that_came_is_read(pdu: str, text: str) -> None:
    found = gsm_inbox.decode(pdu)
    assert (found.number, found.text) == ("+8613800000000", text)


@pytest.mark.parametrize("pdu", ["", "07", "zz", came("04", 1, "31"), came("00", 1, "31", "01")])
def test_what_is_no_text_message_is_refused(pdu: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says its own
        gsm_inbox.decode(pdu)


def test_the_inbox_of_a_modem_is_read_and_emptied(modem: Modem) -> None:
    listed = f"+CMGL: 3,0,,25\r\n{came('00', 1, '31')}\r\n+CMGL: 4,1,,25\r\nFFFF\r\n\r\nOK"
    modem.answers["AT+CMGL"] = listed
    channel = GsmChannel(device=modem.device)
    ((place, message),) = channel.inbox()
    assert (place, message.text, message.number) == (3, "1", "+8613800000000")
    channel.forget([3])
    assert "AT+CMGD=3" in modem.got


def test_a_message_says_how_it_is_answered_where_somebody_reads_the_answers(modem: Modem) -> None:
    GsmChannel(device=modem.device, answerable=True).submit(a_request(NUMBER))
    assert "回复 1 去，2 去不了，3 误报" in decoded(modem.texts)


def test_the_key_of_a_call_is_handed_on(modem: Modem) -> None:
    modem.after_dial = "+DTMF: 1"
    submission = GsmChannel(device=modem.device, mode="call").submit(a_request(NUMBER))
    assert (submission.ok, submission.key) == (True, "1")


def test_a_modem_is_tried_without_sending_anything(modem: Modem) -> None:
    assert GsmChannel(device=modem.device).probe() == ""
    modem.answers["AT+CREG?"] = "+CREG: 0,2\r\n\r\nOK"
    modem.answers["AT+CEREG?"] = "ERROR"
    assert "not_registered" in GsmChannel(device=modem.device).probe()
    assert modem.texts == []
    assert "cannot be opened" in GsmChannel(device="/dev/there-is-none").probe()
