"""Rosters, swaps, absences, holidays and people in the JSON API."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.cloud.db.duty_tables import Holiday, PersonAbsence, RosterRow, RosterSwap
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.duty import selftest, store
from sealwatch.cloud.duty.roster import DAY_MS, who_is_on_duty
from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.web import problems
from sealwatch.cloud.web.body import Body
from sealwatch.cloud.web.changes import change
from sealwatch.cloud.web.problems import Problem
from sealwatch.cloud.web.services import WebServices

_STATUS: Final = {"unknown_roster": 404, "not_there": 404}
_HOUR_MS: Final = 3_600_000
_Moment = Annotated[int, Field(ge=0, le=2**53 - 1, description="Milliseconds since 1970-01-01T00:00:00Z.")]
_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_PathId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_PathNumber = Annotated[int, Path(ge=1, le=2**53 - 1)]
_Reason = Annotated[str, Field(min_length=1, max_length=500)]


class ReachModel(BaseModel):
    """Whether a person can be reached, and what is known of each way."""

    person_id: str
    name: str
    standing: str = Field(description="reachable, doubtful (no way is known to work), unreachable.")
    ways: dict[str, str] = Field(description="no_address, channel_bad, last_failed, never_tried, works; by channel.")


class SelfTestModel(BaseModel):
    """The newest nightly test; `at_ms` null before the first."""

    at_ms: int | None
    channels: dict[str, str] = Field(description="What is wrong with each channel; empty where nothing is.")
    people: list[ReachModel]


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class RosterIn(Body):
    """People who follow each other in turns of one length. Holidays have people of their own, a day each."""

    name: str = Field(min_length=1, max_length=100)
    people: list[_Id] = Field(max_length=100)
    holiday_people: list[_Id] = Field(default=[], max_length=100)
    begins_ms: _Moment
    turn_ms: int = Field(ge=_HOUR_MS, le=31 * DAY_MS, description="Length of a turn, ms: an hour to a month.")


class RosterModel(_Out):
    roster_id: str
    name: str
    people: list[str]
    holiday_people: list[str]
    begins_ms: int
    turn_ms: int
    author: str
    changed_at_ms: int


class DutyModel(_Out):
    """Who is on duty. `reason`: swap, holiday, rotation, substitute, next_in_turn, absent, nobody."""

    roster_id: str
    person_id: str | None
    reason: str
    instead_of: str


class RosterListModel(BaseModel):
    items: list[RosterModel]
    on_duty: list[DutyModel] = Field(description="Of each roster, at the moment asked for.")


class SwapIn(Body):
    person_id: _Id
    from_ms: _Moment
    to_ms: _Moment
    reason: _Reason


class SwapModel(_Out):
    id: int
    roster_id: str
    person_id: str
    from_ms: int
    to_ms: int
    reason: str
    author: str
    created_at_ms: int
    cancelled_at_ms: int | None


class AbsenceIn(Body):
    person_id: _Id
    from_ms: _Moment
    to_ms: _Moment
    substitute_id: str = Field(default="", max_length=64)
    reason: _Reason


class AbsenceModel(_Out):
    id: int
    person_id: str
    from_ms: int
    to_ms: int
    substitute_id: str
    reason: str
    author: str
    created_at_ms: int
    cancelled_at_ms: int | None


class HolidayIn(Body):
    name: str = Field(max_length=100, description="Empty: it is no holiday.")


class HolidayModel(_Out):
    day: str
    name: str


class PersonIn(Body):
    name: str = Field(min_length=1, max_length=100)
    role: str = Field(default="", max_length=100)
    level: int = Field(ge=1, le=5)
    language: Literal["zh", "en"] = "zh"
    telephone: str = Field(default="", pattern=r"^[0-9+ -]{0,32}$")
    email: str = Field(default="", max_length=200, pattern=r"^([^@\s]+@[^@\s]+)?$")
    webhook_url: str = Field(default="", max_length=500, pattern=r"^(https?://[^\s]+)?$")
    addresses: dict[Annotated[str, Field(max_length=16)], Annotated[str, Field(max_length=200)]] = Field(
        default={}, max_length=20, description="This person's userid or number at a channel, by its name."
    )


class PersonModel(_Out):
    person_id: str
    name: str
    role: str
    level: int
    language: str
    telephone: str
    email: str
    managed_by: str = Field(description='"file": cloud.toml says who this is; "service": the last edit here does.')


class PeopleModel(BaseModel):
    items: list[PersonModel]


class CalendarModel(BaseModel):
    """What changes the rosters: swaps and absences that are not over, and holidays."""

    swaps: list[SwapModel]
    absences: list[AbsenceModel]
    holidays: list[HolidayModel]


def build(services: WebServices) -> APIRouter:
    """The routes below /api/v1 that say who is asked."""
    router = APIRouter(prefix="/api/v1", tags=["duty"])
    _add_rosters(router, services)
    _add_calendar(router, services)
    _add_people(router, services)
    _add_reach(router, services)
    return router


def _add_rosters(router: APIRouter, services: WebServices) -> None:
    @router.get("/rosters")
    def rosters(
        at_ms: Annotated[int | None, Query(ge=0, le=2**53 - 1, description="Default: now.")] = None,
    ) -> RosterListModel:
        """Every roster, and who is on duty at a moment."""
        moment = services.clock.wall_ms() if at_ms is None else at_ms
        with services.database.read() as session:
            rows = session.scalars(select(RosterRow).order_by(RosterRow.roster_id)).all()
            book = store.book(session, at_ms=moment)
        duties = {name: who_is_on_duty(roster, book.calendar, moment) for name, roster in book.rosters.items()}
        return RosterListModel(
            items=[RosterModel.model_validate(row) for row in rows],
            on_duty=[
                DutyModel(roster_id=name, person_id=duty.person_id, reason=duty.reason, instead_of=duty.instead_of)
                for name, duty in duties.items()
            ],
        )

    @router.put("/rosters/{roster_id}")
    def put_roster(request: Request, roster_id: _PathId, body: RosterIn) -> RosterModel:
        """Enter a roster, or change one. Running pages keep the people they began with."""

        def work(session: Session, actor: str, now_ms: int) -> RosterRow:
            fields = body.model_dump() | {"people": tuple(body.people), "holiday_people": tuple(body.holiday_people)}
            return store.put_roster(session, roster_id, **fields, author=actor, now_ms=now_ms)

        return RosterModel.model_validate(change(services, request, _STATUS, work))

    @router.post("/rosters/{roster_id}/swaps", status_code=201, responses=problems.documented(404))
    def swap(request: Request, roster_id: _PathId, body: SwapIn) -> SwapModel:
        """Somebody does a stretch of a roster."""

        def work(session: Session, actor: str, now_ms: int) -> RosterSwap:
            return store.add_swap(session, roster_id, **body.model_dump(), author=actor, now_ms=now_ms)

        return SwapModel.model_validate(change(services, request, _STATUS, work))


def _add_reach(router: APIRouter, services: WebServices) -> None:
    @router.get("/reachability")
    def reachability() -> SelfTestModel:
        """Who could be reached, and which channels worked, in the newest nightly test."""
        with services.database.read() as session:
            newest = selftest.latest(session)
        if newest is None:
            return SelfTestModel(at_ms=None, channels={}, people=[])
        people = [ReachModel(**one) for one in newest.people["items"]]
        return SelfTestModel(at_ms=newest.at_ms, channels=newest.channels, people=people)


def _add_calendar(router: APIRouter, services: WebServices) -> None:
    @router.get("/duty-calendar")
    def calendar() -> CalendarModel:
        """Swaps and absences that are not over, and every holiday."""
        now_ms = services.clock.wall_ms()
        with services.database.read() as session:
            swaps = session.scalars(
                select(RosterSwap)
                .where(RosterSwap.to_ms > now_ms, RosterSwap.cancelled_at_ms.is_(None))
                .order_by(RosterSwap.from_ms, RosterSwap.id)
            ).all()
            absences = session.scalars(
                select(PersonAbsence)
                .where(PersonAbsence.to_ms > now_ms, PersonAbsence.cancelled_at_ms.is_(None))
                .order_by(PersonAbsence.from_ms, PersonAbsence.id)
            ).all()
            holidays = session.scalars(select(Holiday).order_by(Holiday.day)).all()
        return CalendarModel(
            swaps=[SwapModel.model_validate(row) for row in swaps],
            absences=[AbsenceModel.model_validate(row) for row in absences],
            holidays=[HolidayModel.model_validate(row) for row in holidays],
        )

    @router.post("/absences", status_code=201)
    def absence(request: Request, body: AbsenceIn) -> AbsenceModel:
        """Somebody is away; who stands in is asked instead."""

        def work(session: Session, actor: str, now_ms: int) -> PersonAbsence:
            return store.add_absence(session, **body.model_dump(), author=actor, now_ms=now_ms)

        return AbsenceModel.model_validate(change(services, request, _STATUS, work))

    @router.post("/absences/{absence_id}/cancel", responses=problems.documented(404))
    def cancel_absence(request: Request, absence_id: _PathNumber) -> AbsenceModel:
        """Take an absence back."""

        def work(session: Session, _actor: str, now_ms: int) -> PersonAbsence:
            return store.cancel_absence(session, absence_id, now_ms=now_ms)

        return AbsenceModel.model_validate(change(services, request, _STATUS, work))

    @router.post("/swaps/{swap_id}/cancel", responses=problems.documented(404))
    def cancel_swap(request: Request, swap_id: _PathNumber) -> SwapModel:
        """Take a swap back."""

        def work(session: Session, _actor: str, now_ms: int) -> RosterSwap:
            return store.cancel_swap(session, swap_id, now_ms=now_ms)

        return SwapModel.model_validate(change(services, request, _STATUS, work))

    @router.put("/holidays/{day}")
    def holiday(
        request: Request, day: Annotated[str, Path(pattern=r"^\d{4}-[01]\d-[0-3]\d$")], body: HolidayIn
    ) -> HolidayModel:
        """Make a day (UTC+8) a holiday, or (empty name) an ordinary day."""
        try:
            date.fromisoformat(day)
        except ValueError:
            raise Problem(422, "invalid_request", errors=[{"at": "path.day", "what": "no such day"}]) from None
        change(services, request, _STATUS, lambda session, _actor, _now_ms: store.set_holiday(session, day, body.name))
        return HolidayModel(day=day, name=body.name)


def _add_people(router: APIRouter, services: WebServices) -> None:
    @router.get("/people")
    def people() -> PeopleModel:
        """Everybody who can be asked."""
        with services.database.read() as session:
            rows = session.scalars(select(Person).order_by(Person.level, Person.person_id)).all()
        return PeopleModel(items=[PersonModel.model_validate(row) for row in rows])

    @router.put("/people/{person_id}")
    def put_person(request: Request, person_id: _PathId, body: PersonIn) -> PersonModel:
        """Enter or change a person; cloud.toml does not overwrite them from then on."""

        def work(session: Session, _actor: str, _now_ms: int) -> Person:
            unknown = set(body.addresses) - {one.name for one in services.settings.channels}
            if unknown:
                raise NotAllowed("unknown_channel")
            return store.put_person(session, person_id, body.model_dump())

        return PersonModel.model_validate(change(services, request, _STATUS, work))

    @router.post("/people/{person_id}/give-back", responses=problems.documented(404))
    def give_back(request: Request, person_id: _PathId) -> PersonModel:
        """Let cloud.toml say who this is again, from the next start on."""
        if not any(one.person_id == person_id for one in services.settings.people):
            raise Problem(404, "unknown_person")
        return PersonModel.model_validate(
            change(services, request, _STATUS, lambda session, _actor, _now_ms: store.give_back(session, person_id))
        )
