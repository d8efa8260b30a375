"""Who may ask for what: one table of every route, and one of what each role may do. What is in neither is refused.

A route that is missing here is refused at run time (`gate`) and by a test; add its row with the route.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from sealwatch.cloud.web.problems import Problem


class Permission(StrEnum):
    """What a route asks of whoever calls it."""

    OPEN = "open"
    """Nothing: how to log in, whether the service lives, how pages look."""
    OWN_KEY = "own_key"
    """A key that the request itself carries and its route checks: an answer link, a node's signature."""
    SELF = "self"
    """A login of whatever role: one's own account."""
    LOOK = "look"
    """Incidents, alarms, sites, permits, silences and rosters, without a picture."""
    EVIDENCE = "evidence"
    """Pictures, clips and packs. Every one that is given out is a line of the audit log."""
    ASKED_EVIDENCE = "asked_evidence"
    """Those of incidents that one was paged for or sent to, and of no others."""
    ANSWER = "answer"
    """To work on an incident: take it on, pass it on, check in, say what was found, close."""
    DIRECT = "direct"
    """To direct others: send somebody, put aside, reopen, silence."""
    PERMIT = "permit"
    """To enter and end announced work."""
    STAFF = "staff"
    """To change people, rosters and holidays."""
    OPERATE = "operate"
    """The service's own figures, and what it refused; of every county that it serves."""
    ACCOUNTS = "accounts"
    """Accounts of others."""
    AUDIT = "audit"
    """Who did and saw what."""


class Role(StrEnum):
    """What somebody is to the service. Where they are it is the account's region."""

    COUNTY_ADMIN = "county_admin"
    DUTY_OFFICER = "duty_officer"
    INSPECTOR = "inspector"
    GRID_PERSON = "grid_person"
    AUDITOR = "auditor"
    INSTALLER = "installer"


P = Permission
_ALWAYS: Final = frozenset({P.OPEN, P.OWN_KEY})
MAY: Final[dict[Role, frozenset[Permission]]] = {
    Role.COUNTY_ADMIN: frozenset(Permission) - _ALWAYS - {P.AUDIT, P.ASKED_EVIDENCE},
    Role.DUTY_OFFICER: frozenset({P.SELF, P.LOOK, P.EVIDENCE, P.ANSWER, P.DIRECT, P.PERMIT}),
    Role.INSPECTOR: frozenset({P.SELF, P.LOOK, P.EVIDENCE, P.ANSWER}),
    Role.GRID_PERSON: frozenset({P.SELF, P.LOOK, P.ASKED_EVIDENCE, P.ANSWER}),
    Role.AUDITOR: frozenset({P.SELF, P.LOOK, P.EVIDENCE, P.AUDIT}),
    Role.INSTALLER: frozenset({P.SELF, P.LOOK}),
}
"""The county's own administrator can't read the audit log: it is about them as well."""

GRANTABLE: Final = frozenset(Permission) - _ALWAYS - {P.SELF, P.ACCOUNTS}
"""What a token of a program may be given: never the right to make accounts or tokens."""

RULES: Final[dict[tuple[str, str], Permission]] = {
    ("GET", "/"): P.LOOK,
    ("GET", "/a/{token}"): P.OWN_KEY,
    ("GET", "/a/{token}/clips/{sha256}"): P.OWN_KEY,
    ("GET", "/a/{token}/events"): P.OWN_KEY,
    ("GET", "/a/{token}/pictures/{sha256}"): P.OWN_KEY,
    ("GET", "/a/{token}/pictures/{sha256}/preview"): P.OWN_KEY,
    ("GET", "/account"): P.SELF,
    ("GET", "/account/authenticator"): P.SELF,
    ("GET", "/accounts"): P.ACCOUNTS,
    ("GET", "/api/v1/alarm-load"): P.LOOK,
    ("GET", "/api/v1/alarms"): P.LOOK,
    ("GET", "/api/v1/audit"): P.AUDIT,
    ("GET", "/api/v1/counters"): P.OPERATE,
    ("GET", "/api/v1/duty-calendar"): P.LOOK,
    ("GET", "/api/v1/incidents"): P.LOOK,
    ("GET", "/api/v1/incidents/{incident_id}"): P.LOOK,
    ("GET", "/api/v1/people"): P.LOOK,
    ("GET", "/api/v1/permits"): P.LOOK,
    ("GET", "/api/v1/quarantine"): P.OPERATE,
    ("GET", "/api/v1/reachability"): P.LOOK,
    ("GET", "/api/v1/rosters"): P.LOOK,
    ("GET", "/api/v1/silences"): P.LOOK,
    ("GET", "/channels"): P.LOOK,
    ("GET", "/audit"): P.AUDIT,
    ("GET", "/audit.csv"): P.AUDIT,
    ("GET", "/desk"): P.LOOK,
    ("GET", "/events"): P.LOOK,
    ("GET", "/favicon.ico"): P.OPEN,
    ("GET", "/healthz"): P.OPEN,
    ("GET", "/incidents/{incident_id}"): P.LOOK,
    ("GET", "/incidents/{incident_id}/clips/{sha256}"): P.EVIDENCE,
    ("GET", "/incidents/{incident_id}/pictures/{sha256}"): P.EVIDENCE,
    ("GET", "/incidents/{incident_id}/pictures/{sha256}/preview"): P.EVIDENCE,
    ("GET", "/load"): P.LOOK,
    ("GET", "/login"): P.OPEN,
    ("GET", "/login/oidc"): P.OPEN,
    ("GET", "/login/oidc/back"): P.OPEN,
    ("GET", "/maintenance"): P.LOOK,
    ("GET", "/metrics"): P.OPERATE,
    ("GET", "/nodes/{node_id}"): P.LOOK,
    ("GET", "/offline"): P.OPEN,
    ("GET", "/openapi.json"): P.LOOK,
    ("GET", "/people"): P.LOOK,
    ("GET", "/permits"): P.LOOK,
    ("GET", "/releases/v1/files/{sha256}"): P.OWN_KEY,
    ("GET", "/search"): P.LOOK,
    ("GET", "/sites"): P.LOOK,
    ("GET", "/sites/{site_id}"): P.LOOK,
    ("GET", "/sites/{site_id}/pictures/{sha256}"): P.EVIDENCE,
    ("GET", "/sites/{site_id}/pictures/{sha256}/preview"): P.EVIDENCE,
    ("GET", "/static/{name}"): P.OPEN,
    ("GET", "/sw.js"): P.OPEN,
    ("GET", "/welcome/{token}"): P.OWN_KEY,
    ("PATCH", "/evidence/v1/files/{sha256}"): P.OWN_KEY,
    ("POST", "/a/{name}/arrive"): P.OWN_KEY,
    ("POST", "/a/{name}/close"): P.OWN_KEY,
    ("POST", "/a/{name}/refuse"): P.OWN_KEY,
    ("POST", "/a/{name}/verify"): P.OWN_KEY,
    ("POST", "/a/{token}/answer"): P.OWN_KEY,
    ("POST", "/account/authenticator"): P.SELF,
    ("POST", "/account/logout-everywhere"): P.SELF,
    ("POST", "/account/password"): P.SELF,
    ("POST", "/account/push/{subscription_id}/end"): P.SELF,
    ("POST", "/account/sessions/{session_hash}/end"): P.SELF,
    ("POST", "/account/tokens"): P.SELF,
    ("POST", "/account/tokens/{token_id}/revoke"): P.SELF,
    ("POST", "/accounts"): P.ACCOUNTS,
    ("POST", "/accounts/{account_id}/change"): P.ACCOUNTS,
    ("POST", "/accounts/{account_id}/disable"): P.ACCOUNTS,
    ("POST", "/accounts/{account_id}/reset"): P.ACCOUNTS,
    ("POST", "/api/v1/absences"): P.STAFF,
    ("POST", "/api/v1/absences/{absence_id}/cancel"): P.STAFF,
    ("POST", "/api/v1/incidents/{incident_id}/acknowledge"): P.ANSWER,
    ("POST", "/api/v1/incidents/{incident_id}/arrive"): P.ANSWER,
    ("POST", "/api/v1/incidents/{incident_id}/close"): P.ANSWER,
    ("POST", "/api/v1/incidents/{incident_id}/dispatch"): P.DIRECT,
    ("POST", "/api/v1/incidents/{incident_id}/pass-on"): P.ANSWER,
    ("POST", "/api/v1/incidents/{incident_id}/refuse-closing"): P.ANSWER,
    ("POST", "/api/v1/incidents/{incident_id}/reopen"): P.DIRECT,
    ("POST", "/api/v1/incidents/{incident_id}/shelve"): P.DIRECT,
    ("POST", "/api/v1/incidents/{incident_id}/verify"): P.ANSWER,
    ("POST", "/api/v1/people/{person_id}/give-back"): P.STAFF,
    ("POST", "/api/v1/permits"): P.PERMIT,
    ("POST", "/api/v1/permits/{permit_id}/end"): P.PERMIT,
    ("POST", "/api/v1/push-subscriptions"): P.SELF,
    ("POST", "/api/v1/rosters/{roster_id}/swaps"): P.STAFF,
    ("POST", "/api/v1/silences"): P.DIRECT,
    ("POST", "/api/v1/silences/{silence_id}/end"): P.DIRECT,
    ("POST", "/api/v1/swaps/{swap_id}/cancel"): P.STAFF,
    ("POST", "/enrolment/v1/nodes"): P.OWN_KEY,
    ("POST", "/enrolment/v1/keys"): P.OWN_KEY,
    ("POST", "/enrolment/v1/renewals"): P.OWN_KEY,
    ("POST", "/evidence/v1/items"): P.OWN_KEY,
    ("POST", "/inbound/v1/{channel}/{given}"): P.OWN_KEY,
    ("POST", "/incidents/{incident_id}/acknowledge"): P.ANSWER,
    ("POST", "/incidents/{incident_id}/next"): P.ANSWER,
    ("POST", "/incidents/{incident_id}/reopen"): P.DIRECT,
    ("POST", "/incidents/{name}/arrive"): P.ANSWER,
    ("POST", "/incidents/{name}/close"): P.ANSWER,
    ("POST", "/incidents/{name}/dispatch"): P.DIRECT,
    ("POST", "/incidents/{name}/refuse"): P.ANSWER,
    ("POST", "/incidents/{name}/shelve"): P.DIRECT,
    ("POST", "/incidents/{name}/verify"): P.ANSWER,
    ("POST", "/login"): P.OPEN,
    ("POST", "/logout"): P.OPEN,
    ("POST", "/maintenance"): P.DIRECT,
    ("POST", "/maintenance/{silence_id}/end"): P.DIRECT,
    ("POST", "/nodes/{node_id}/snapshot"): P.DIRECT,
    ("POST", "/permits"): P.PERMIT,
    ("POST", "/permits/{permit_id}/end"): P.PERMIT,
    ("POST", "/welcome/{token}"): P.OWN_KEY,
    ("PUT", "/api/v1/holidays/{day}"): P.STAFF,
    ("PUT", "/api/v1/people/{person_id}"): P.STAFF,
    ("PUT", "/api/v1/rosters/{roster_id}"): P.STAFF,
}


def permission(method: str, template: str) -> Permission | None:
    """What a route asks for, or None where it is not in the table."""
    return RULES.get(("GET" if method == "HEAD" else method, template))


async def gate(request: Request) -> None:
    """The dependency of every route. Raises Problem (403): for a route without a rule, and for a caller without it.

    A login, where there is one, has put what it may do into `request.state.may`.
    """
    wanted = permission(request.method, request.scope["route"].path)
    if wanted is None:
        raise Problem(403, "no_rule")
    may: frozenset[Permission] | None = getattr(request.state, "may", None)
    if may is None or wanted in _ALWAYS or wanted in may:
        return
    if wanted is P.EVIDENCE and await run_in_threadpool(sees_evidence, request, request.path_params.get("incident_id")):
        return
    raise Problem(403, "not_allowed")


def sees_evidence(request: Request, incident_id: str | None = None) -> bool:
    """Whether the caller may see pictures and clips; where they may see those of some incidents only, of this one.

    A login has put the question whether somebody was asked about an incident into `request.state.was_asked`.
    """
    may: frozenset[Permission] | None = getattr(request.state, "may", None)
    if may is None or P.EVIDENCE in may:
        return True
    return P.ASKED_EVIDENCE in may and incident_id is not None and bool(request.state.was_asked(incident_id))
