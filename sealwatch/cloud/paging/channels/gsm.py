"""A modem on a serial port: text messages and calls when the internet is gone, by 3GPP TS 27.007 and 27.005.

Before anything is sent: ``+CPIN?`` (a PIN that was refused is never given again: three wrong ones lock the SIM),
``+CREG?`` and ``+CEREG?`` (1 home, 5 roaming). Plain ASCII goes in text mode, anything else as UCS-2 in PDU mode
(`gsm_pdu`). ``+CMGS: n`` and OK is the network's receipt. A call is ``ATD…;``; ``+CLCC`` tells whether it was answered
(state 0); SIMCom's ``AT+DDET=1`` reports keys as ``+DTMF: k`` (SIM800 AT manual 1.09, 16.2.1) or ``+RXDTMF: k``
(SIM7600). A call is taken when a key was pressed, or, where the modem hears no keys, when it was answered.
Codes of +CMS ERROR: 3GPP TS 27.005, 3.2.5 and GSM 04.11 annex E, as listed at smseagle.eu "+CMS ERROR codes explained".

The called person hears silence: no speech is played. Key 1 says "I'm going", key 2 "I can't"; any other key only that
the call was noticed. Tested against a scripted modem on a pseudo-terminal, with no real modem.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from sealwatch.base import text as text_
from sealwatch.cloud.answering.said import PAGE_DIGITS
from sealwatch.cloud.paging.channels import gsm_inbox, gsm_pdu, verdicts
from sealwatch.cloud.paging.channels.gsm_inbox import Delivered
from sealwatch.cloud.paging.channels.gsm_line import Line, ModemError
from sealwatch.cloud.paging.channels.verdicts import MISCONFIGURED_S, Meaning
from sealwatch.cloud.ports import PageRequest, Submission

logger = logging.getLogger(__name__)
CMS: Final[Mapping[int, Meaning]] = {
    1: Meaning("number_unusable"),
    8: Meaning("sim_barred", pause_s=MISCONFIGURED_S),
    10: Meaning("sim_barred", pause_s=MISCONFIGURED_S),
    17: Meaning("network_failure", retry=True),
    21: Meaning("network_refused"),
    22: Meaning("network_congested", retry=True),
    27: Meaning("telephone_unreachable"),
    28: Meaning("number_unusable"),
    300: Meaning("modem_failure", retry=True),
    304: Meaning("message_refused"),
    305: Meaning("message_refused"),
    310: Meaning("sim_missing", pause_s=MISCONFIGURED_S),
    311: Meaning("sim_locked", pause_s=MISCONFIGURED_S),
    313: Meaning("sim_failure", pause_s=MISCONFIGURED_S),
    314: Meaning("sim_busy", retry=True),
    316: Meaning("sim_locked", pause_s=MISCONFIGURED_S),
    330: Meaning("service_centre_unknown", pause_s=MISCONFIGURED_S),
    331: Meaning("not_registered", retry=True),
    332: Meaning("network_timeout", retry=True),
    500: Meaning("modem_failure", retry=True),
}
_BUSY_S: Final = 1.0
_SEND_S: Final = 9.0  # five parts stay below the time after which a page is taken for stuck
_ANSWER_S: Final = 2.0
_LOOK_S: Final = 1.0
_REGISTERED: Final = ("1", "5")


def judge_cms(code: int) -> Submission:
    """What a +CMS ERROR means. Pure."""
    return verdicts.by_code(code, "+CMS ERROR", CMS)


class GsmChannel:
    """One modem, one conversation at a time; `request.address` is a telephone number."""

    def __init__(
        self,
        *,
        device: str,
        baud: int = 115200,
        pin: str = "",
        mode: str = "sms",
        answer_wait_s: float = 40.0,
        answerable: bool = False,
    ) -> None:
        """`answerable`: somebody reads the `inbox`, so that messages may say how to answer them."""
        self.answerable = answerable
        self._device, self._baud, self._pin, self._mode = device, baud, pin, mode
        self._answer_wait_s = answer_wait_s
        self._lock = threading.Lock()
        self._pin_refused = False

    def submit(self, request: PageRequest) -> Submission:
        if not self._lock.acquire(timeout=_BUSY_S):
            return Submission(
                ok=False, outcome="modem_busy: another page is on the line", retry=True, reason="modem_busy"
            )
        try:
            with Line(self._device, self._baud) as line:
                trouble = self._prepare(line)
                if trouble is not None:
                    return trouble
                return self._call(line, request) if self._mode == "call" else self._text(line, request)
        except ModemError as error:
            return judge_cms(error.cms) if error.cms is not None else _failed("modem_trouble", str(error), retry=True)
        except ValueError as error:
            return _failed("number_unusable", str(error))
        finally:
            self._lock.release()

    def probe(self) -> str:
        """Whether the modem could send now: "" or what hinders it."""
        if not self._lock.acquire(timeout=_BUSY_S):
            return ""  # it is sending
        try:
            with Line(self._device, self._baud) as line:
                trouble = self._prepare(line)
        except ModemError as error:
            return str(error)
        else:
            return "" if trouble is None else trouble.outcome
        finally:
            self._lock.release()

    def inbox(self) -> list[tuple[int, Delivered]]:
        """Text messages that have come, with their places in the modem; [] while a page is on the line.

        Raises ModemError. Parts of a long message are messages of their own: an answer is short.
        """
        if not self._lock.acquire(timeout=_BUSY_S):
            return []
        try:
            with Line(self._device, self._baud) as line:
                if self._prepare(line) is not None:
                    return []
                line.ask("AT+CMGF=0", wait_s=_ANSWER_S)
                lines = line.ask("AT+CMGL=4", wait_s=_SEND_S)
        finally:
            self._lock.release()
        found: list[tuple[int, Delivered]] = []
        for head, pdu in itertools.pairwise(lines):
            if not head.startswith("+CMGL:"):
                continue
            place = int(head.removeprefix("+CMGL:").split(",")[0])
            try:
                found.append((place, gsm_inbox.decode(pdu)))
            except ValueError as error:
                logger.warning("a message at place %d of the modem can't be read: %s", place, error)
        return found

    def forget(self, places: Sequence[int]) -> None:
        """Delete messages from the modem, once they are kept elsewhere. Raises ModemError."""
        with self._lock, Line(self._device, self._baud) as line:
            for place in places:
                line.ask(f"AT+CMGD={place}", wait_s=_ANSWER_S)

    def close(self) -> None:
        """Nothing is kept open between pages: other programs may use the modem."""

    def _prepare(self, line: Line) -> Submission | None:
        """Bring the modem to where it can send; what hinders it, or None."""
        for command in ("AT", "ATE0", "AT+CMEE=1"):
            line.ask(command, wait_s=_ANSWER_S)
        state = line.value("AT+CPIN?", "+CPIN:", wait_s=_ANSWER_S)
        if state == "SIM PIN" and self._pin and not self._pin_refused:
            try:
                line.ask(f'AT+CPIN="{self._pin}"', wait_s=_SEND_S)
            except ModemError:
                self._pin_refused = True
                return _failed("sim_locked", "the PIN was refused and is not tried again", pause_s=MISCONFIGURED_S)
        elif state != "READY":
            return _failed("sim_locked", f"the SIM wants {state or 'something unknown'}", pause_s=MISCONFIGURED_S)
        for command, prefix in (("AT+CREG?", "+CREG:"), ("AT+CEREG?", "+CEREG:")):
            try:
                fields = line.value(command, prefix, wait_s=_ANSWER_S).split(",")
            except ModemError:
                continue  # modems without LTE do not know the second
            if len(fields) > 1 and fields[1].strip() in _REGISTERED:
                return None
        return _failed("not_registered", "the modem has no network", retry=True)

    def _text(self, line: Line, request: PageRequest) -> Submission:
        text = f"{request.title}\n{request.answer_url}"
        if self.answerable:
            text += "\n" + text_.say(request.language, "duty.reply_hint", page=request.page_id[:PAGE_DIGITS])
        plain = text.replace("\n", " ")
        if gsm_pdu.fits_text_mode(plain):
            gsm_pdu.submit(request.address, "", reference=0)  # raises for an address that is none
            line.ask("AT+CMGF=1", wait_s=_ANSWER_S)
            line.ask('AT+CSCS="IRA"', wait_s=_ANSWER_S)
            receipts = [line.send(f'AT+CMGS="{request.address}"', plain, wait_s=_SEND_S)]
        else:
            line.ask("AT+CMGF=0", wait_s=_ANSWER_S)
            parts = gsm_pdu.submit(request.address, text, reference=secrets.randbelow(256))
            receipts = [line.send(f"AT+CMGS={part.octets}", part.hexadecimal, wait_s=_SEND_S) for part in parts]
        numbers = ", ".join(receipts)
        return Submission(ok=True, outcome=f"taken: the network took it as {numbers}", reason="taken")

    def _call(self, line: Line, request: PageRequest) -> Submission:
        gsm_pdu.submit(request.address, "", reference=0)  # raises for an address that is none
        hears_keys = line.accepts("AT+DDET=1", wait_s=_ANSWER_S)
        until_s = time.monotonic() + self._answer_wait_s
        answered = False
        try:
            line.ask(f"ATD{request.address};", wait_s=_SEND_S)
            while time.monotonic() < until_s:
                event = line.event(wait_s=_LOOK_S)
                if event.startswith(("+DTMF:", "+RXDTMF:")):
                    key = event.partition(":")[2].split(",")[0].strip()
                    return Submission(
                        ok=True, outcome=f"taken: key {key} was pressed in the call", reason="key_pressed", key=key
                    )
                if event in ("NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE"):
                    break
                if not event:
                    states = line.values("AT+CLCC", "+CLCC:", wait_s=_ANSWER_S)
                    answered = answered or any(state.split(",")[2:3] == ["0"] for state in states)
                    if answered and not hears_keys:
                        outcome = "taken: the call was answered; this modem hears no keys"
                        return Submission(ok=True, outcome=outcome, reason="answered")
        finally:
            line.accepts("ATH", wait_s=_ANSWER_S)
        if answered:
            return _failed("no_key_pressed", "the call was answered, but no key was pressed")
        return _failed("not_answered", "nobody answered the call")


def _failed(reason: str, sentence: str, *, retry: bool = False, pause_s: float = 0.0) -> Submission:
    return Submission(ok=False, outcome=f"{reason}: {sentence}", retry=retry, reason=reason, pause_s=pause_s)
