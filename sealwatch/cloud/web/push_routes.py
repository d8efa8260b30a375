"""Browsers that take pages: subscribed by a script on one's own account's page, taken back there by a form."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from sealwatch.cloud.accounts.sessions import LoggedIn
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.paging import subscriptions
from sealwatch.cloud.paging.channels.settings import WebPushSettings
from sealwatch.cloud.paging.subscriptions import Offered
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web.account_shell import AccountShell, device_of, who_asks
from sealwatch.cloud.web.device_names import device_name
from sealwatch.cloud.web.pages import FormToken
from sealwatch.cloud.web.services import WebServices

_Key = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_-]+=*$")]


class KeysModel(BaseModel):
    """What a message for this browser is encrypted with (RFC 8291), base64url."""

    p256dh: _Key
    auth: Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9_-]+=*$")]


class SubscriptionIn(BaseModel):
    """`PushSubscription.toJSON()` of the Push API, with whatever else browsers put there."""

    model_config = ConfigDict(extra="ignore")
    endpoint: Annotated[str, Field(max_length=1000)]
    keys: KeysModel


class SubscriptionModel(BaseModel):
    subscription_id: str


def push_services(services: WebServices) -> list[str]:
    """Hosts that subscriptions may name; none where no channel is a web push."""
    return [host for one in services.settings.channels if isinstance(one, WebPushSettings) for host in one.services]


def values(session: Session, services: WebServices, who: LoggedIn) -> dict[str, Any] | None:
    """What the page shows of it; None where the service has no such channel."""
    if not push_services(services):
        return None
    browsers = subscriptions.of_account(session, who.account_id)
    return {
        "key": services.push_key,
        "has_person": bool(session.get_one(Account, who.account_id).person_id),
        "browsers": [(row, device_name(row.agent)) for row in browsers],
    }


def add(router: APIRouter, shared: AccountShell) -> None:
    """Add the routes of browsers that take pages."""

    @router.post("/api/v1/push-subscriptions", status_code=201)
    def subscribe(request: Request, given: SubscriptionIn) -> SubscriptionModel:
        """Have pages of one's own person come to this browser."""
        offered = Offered(endpoint=given.endpoint, p256dh=given.keys.p256dh, auth=given.keys.auth)

        def work(session: Session) -> str:
            allowed = push_services(shared.services)
            if not allowed:
                raise NotAllowed("no_web_push")
            return subscriptions.subscribe(
                session, who_asks(request), offered, services=allowed, agent=device_of(request).agent,
                now_ms=shared.now_ms,
            ).subscription_id  # fmt: skip

        return SubscriptionModel(subscription_id=shared.change(work))

    @router.post("/account/push/{subscription_id}/end")
    def end(request: Request, subscription_id: str, form_token: FormToken = "") -> Response:
        shared.forms.check(request, form_token)
        shared.change(
            lambda session: subscriptions.remove(session, who_asks(request), subscription_id, now_ms=shared.now_ms)
        )
        return RedirectResponse("/account#push", 303)
