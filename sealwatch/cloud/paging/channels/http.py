"""One HTTP request to a vendor and its whole answer, bounded in time and size."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import httpx

from sealwatch.cloud.ports import Submission

TIMEOUT_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 64 * 1024


class NoAnswerError(Exception):
    """No answer at all; `submission` says why."""

    def __init__(self, submission: Submission) -> None:
        super().__init__(submission.outcome)
        self.submission = submission


class Caller:
    """Keeps connections open, never follows redirects, and never shows a URL: robots have their secret in it."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body. Raises NoAnswerError where there is no answer. `params` are added to the query of `url`."""
        try:
            target = httpx.URL(url).copy_merge_params(dict(params)) if params else httpx.URL(url)
            with self._client.stream(method, target, content=content, headers=dict(headers or {})) as response:
                return response.status_code, self._read(response)
        except httpx.TimeoutException:
            raise _trouble("no_answer", "the vendor did not answer in time", retry=True) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            raise _trouble("bad_address", "the configured address is not a usable URL") from None
        except httpx.HTTPError as error:
            raise _trouble("unreachable", f"the vendor cannot be reached: {error}", retry=True) from None

    def _read(self, response: httpx.Response) -> bytes:
        until_s = time.monotonic() + self._timeout_s
        data = b""
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > _MAX_ANSWER_BYTES:
                break
            if time.monotonic() > until_s:
                raise httpx.ReadTimeout("the answer does not end")
        return data[:_MAX_ANSWER_BYTES]


def _trouble(reason: str, sentence: str, *, retry: bool = False) -> NoAnswerError:
    return NoAnswerError(Submission(ok=False, outcome=f"{reason}: {sentence}", retry=retry, reason=reason))
