"""What both servers share: line protocol out through `influxdb-client`, answers turned into two kinds of error.

TelemetryUnavailable   not now: unreachable, slow, overloaded, or refusing until somebody mends its set-up
PointsRefused          never: the server has read these points and will not have them
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from sealwatch.cloud.ports import TelemetryStore
from sealwatch.cloud.telemetry.columns import Columns

TIMEOUT_S = 10.0
_NEVER = frozenset({400, 413, 422})


class TelemetryUnavailable(OSError):  # noqa: N818 - it says a state of the store
    """The store can't take or give points now; the same call may succeed later. `reason` is a stable name."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class PointsRefused(ValueError):  # noqa: N818 - it says what became of the points
    """The store has read these points and will never take them. `reason` is a stable name."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class BatchStore(TelemetryStore, Protocol):
    """A store that takes many blocks in one request."""

    hold_s: float
    """How long points are kept here after the store took them: 0 where its answer means that they are on its disk."""

    def write_blocks(self, blocks: Sequence[Columns]) -> None:
        """Store all of them; on an error any part may have been stored. Raises TelemetryUnavailable, PointsRefused."""
        ...

    def started(self) -> str:
        """When the server was started, in its own words; asked only where `hold_s` is not 0."""
        ...


def refusal(status: int, body: str, url: str) -> TelemetryUnavailable | PointsRefused:
    """What an HTTP answer other than success means for the points of the request."""
    said = _message(body)[:300]
    if status == 413:
        return PointsRefused("too_large", f"{url}: the request is too large for the server: {said}")
    if status in _NEVER:
        reason = "refused"
        for word, name in (
            ("retention", "beyond_retention"),
            ("type conflict", "type_conflict"),
            ("parse", "not_parsable"),
            ("max-values-per-tag", "cardinality"),
            ("max-series", "cardinality"),
        ):
            if word in said:
                reason = name
                break
        return PointsRefused(reason, f"{url}: the server refuses these points: {said}")
    if status in {401, 403}:
        return TelemetryUnavailable("not_permitted", f"{url}: the server does not know or permit our token: {said}")
    if status == 404:
        return TelemetryUnavailable(
            "not_set_up", f"{url}: the bucket is missing; run `sealwatch telemetry init`: {said}"
        )
    if status == 429:
        return TelemetryUnavailable("overloaded", f"{url}: the server asks us to slow down: {said}")
    return TelemetryUnavailable("server_error", f"{url}: the server answered {status}: {said}")


def _message(body: str) -> str:
    try:
        read = json.loads(body)
    except ValueError:
        return body.strip()
    if isinstance(read, dict):
        return str(read.get("message") or read.get("error") or body).strip()
    return body.strip()


class LineWriter:
    """Synchronous batches: when `send` returns, the server has answered that it took every line."""

    def __init__(self, url: str, *, token: str, org: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._client = InfluxDBClient(url=self._url, token=token or "none", org=org, timeout=int(timeout_s * 1000))
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def send(self, bucket: str, lines: Sequence[str]) -> None:
        """Write the lines. Raises TelemetryUnavailable or PointsRefused."""
        if not lines:
            return
        try:
            self._api.write(
                bucket,
                record="\n".join(lines).encode(),
                write_precision=WritePrecision.MS,  # type: ignore[arg-type]  # the library's constants are plain strings
            )
        except ApiException as error:
            raise refusal(error.status or 0, str(error.body or error.reason or ""), self._url) from None
        except (HTTPError, OSError) as error:
            raise TelemetryUnavailable("unreachable", f"{self._url}: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Drop the connections."""
        self._api.close()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self._client.close()  # type: ignore[no-untyped-call]  # the library leaves it untyped


def reader(url: str, token: str, *, timeout_s: float = TIMEOUT_S) -> httpx.Client:
    """An HTTP client for queries. A token ``user:password`` is a 1.x account and travels as Basic."""
    headers: dict[str, str] = {}
    auth: tuple[str, str] | None = None
    if ":" in token:
        user, _, password = token.partition(":")
        auth = (user, password)
    elif token:
        headers["Authorization"] = f"Token {token}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError(f"{url}: the telemetry URL wants http://host:port or https://host:port")
    return httpx.Client(base_url=url.rstrip("/"), headers=headers, auth=auth, timeout=timeout_s, trust_env=False)


def ask(client: httpx.Client, path: str, parameters: dict[str, str]) -> httpx.Response:
    """One query. Raises TelemetryUnavailable, or PointsRefused for a query that the server can't read."""
    try:
        answer = client.get(path, params=parameters)
    except httpx.TransportError as error:
        raise TelemetryUnavailable("unreachable", f"{client.base_url}: {type(error).__name__}: {error}") from None
    if answer.status_code >= 400:
        raise refusal(answer.status_code, answer.text, str(client.base_url))
    return answer
