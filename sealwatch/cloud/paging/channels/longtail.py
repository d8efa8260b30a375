"""Everything else, through the library Apprise (https://github.com/caronc/apprise): Telegram, Slack, ntfy, Matrix …

Its answer is a plain yes or no made from the HTTP status. For robots that answer 200 with an error inside that is worth
nothing, so their schemes are refused here: they have channels of their own. A "no" carries no cause and is tried again.
"""

from __future__ import annotations

from typing import Final

from sealwatch.base.settings import SettingsError
from sealwatch.cloud.ports import PageRequest, Submission

REFUSED_SCHEMES: Final = frozenset({"dingtalk", "feishu", "lark", "wecombot"})


class AppriseChannel:
    """One Apprise address. `request.address` is not used: the address names its reader."""

    def __init__(self, url: str) -> None:
        """Raises SettingsError where the library is missing or does not know the address."""
        scheme = url.partition("://")[0].lower()
        if scheme in REFUSED_SCHEMES:
            raise SettingsError(f"channels: apprise: {scheme} has a channel kind of its own, which checks result codes")
        try:
            import apprise
        except ImportError:
            raise SettingsError("channels: apprise: the package is missing; install apprise") from None
        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise SettingsError(f"channels: apprise: the address ({scheme}://…) is not one that Apprise knows")

    def submit(self, request: PageRequest) -> Submission:
        if self._apprise.notify(title=request.title, body=request.body):
            return Submission(
                ok=True, outcome="taken: Apprise says so (it checks the HTTP status only)", reason="taken"
            )
        return Submission(
            ok=False, outcome="vendor_refused: Apprise gives no cause", retry=True, reason="vendor_refused"
        )

    def close(self) -> None:
        """Nothing is kept open."""
