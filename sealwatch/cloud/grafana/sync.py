"""Dashboards into a running Grafana through its HTTP API: folders by county, data sources, teams and who may see what.

Everything has a fixed uid, so that a second run changes what differs and adds nothing. A county's folder is seen by its
own team (view) and by administrators, by nobody else: Grafana's default of "every viewer" is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import requests
from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, TokenAuth

from sealwatch.cloud.grafana import alerts, datasources
from sealwatch.cloud.grafana.boards import BOARDS
from sealwatch.cloud.grafana.datasources import Access
from sealwatch.cloud.grafana.panels import Look, render

VIEW: Final = 1


class GrafanaRefusedError(Exception):
    """Grafana did not do what it was asked; the message says what, where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class County:
    """One county: its code ("" where there is only one), its name, and the team that may look."""

    code: str
    name: str
    team: str


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that was put in order: made, changed or kept."""

    outcome: str
    what: str


class Sync:
    """Puts one Grafana in order."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._api = GrafanaApi.from_url(url, credential=TokenAuth(token), timeout=15)

    def county(self, county: County, look: Look, access: Access) -> Iterator[Done]:
        """Folder, team, permissions, data sources, dashboards and rules of one county. Raises GrafanaRefusedError."""
        try:
            folder_uid = f"sealwatch-{county.code}" if county.code else "sealwatch"
            yield self._folder(folder_uid, county.name)
            team_id, done = self._team(county.team)
            yield done
            self._api.folder.update_folder_permissions(folder_uid, {"items": [{"teamId": team_id, "permission": VIEW}]})
            yield Done("changed", f"folder {county.name}: seen by {county.team}")
            for source in datasources.everything(look.sources, access):
                yield self._source(source)
            for board in BOARDS:
                yield self._board(render(board, look), folder_uid)
            for wanted in alerts.RULES:
                yield self._rule(alerts.rule(wanted, look), folder_uid)
        except GrafanaException as error:
            raise GrafanaRefusedError(f"{self._url}: Grafana answers {error.status_code}: {error.message}") from None
        except requests.RequestException as error:
            raise GrafanaRefusedError(f"{self._url}: {type(error).__name__}: {error}") from None

    def _folder(self, uid: str, title: str) -> Done:
        try:
            there = self._api.folder.get_folder(uid)
        except GrafanaClientError as error:
            if error.status_code != 404:
                raise
            self._api.folder.create_folder(title, uid=uid)
            return Done("made", f"folder {title}")
        if there["title"] != title:
            self._api.folder.update_folder(uid, title=title, overwrite=True)
            return Done("changed", f"folder {title}")
        return Done("kept", f"folder {title}")

    def _team(self, name: str) -> tuple[int, Done]:
        for team in self._api.teams.search_teams(query=name):
            if team["name"] == name:
                return int(team["id"]), Done("kept", f"team {name}")
        made = self._api.teams.add_team({"name": name})
        return int(made["teamId"]), Done("made", f"team {name}")

    def _source(self, source: dict[str, Any]) -> Done:
        uid = source["uid"]
        try:
            self._api.datasource.get_datasource_by_uid(uid)
        except GrafanaClientError as error:
            if error.status_code != 404:
                raise
            self._api.datasource.create_datasource(source)
            return Done("made", f"data source {uid}")
        self._api.datasource.update_datasource_by_uid(uid, source)
        return Done("changed", f"data source {uid}")

    def _board(self, board: dict[str, Any], folder_uid: str) -> Done:
        wanted = {key: value for key, value in board.items() if key not in {"id", "version"}}
        try:
            there = self._api.dashboard.get_dashboard(board["uid"])["dashboard"]
        except GrafanaClientError as error:
            if error.status_code != 404:
                raise
            there = None
        if there is not None and {k: v for k, v in there.items() if k not in {"id", "version"}} == wanted:
            return Done("kept", f"dashboard {board['title']}")
        body = {"dashboard": {**wanted, "id": None}, "folderUid": folder_uid, "overwrite": True}
        self._api.dashboard.update_dashboard(body)
        return Done("made" if there is None else "changed", f"dashboard {board['title']}")

    def _rule(self, rule: dict[str, Any], folder_uid: str) -> Done:
        body = {**rule, "orgID": 1, "folderUID": folder_uid, "ruleGroup": alerts.GROUP}
        try:
            self._api.alertingprovisioning.get_alertrule(rule["uid"])
        except GrafanaClientError as error:
            if error.status_code != 404:
                raise
            self._api.alertingprovisioning.create_alertrule(body)
            return Done("made", f"rule {rule['title']}")
        self._api.alertingprovisioning.update_alertrule(rule["uid"], body)
        return Done("changed", f"rule {rule['title']}")
