"""A local twin of the part of Grafana's HTTP API that `sync` uses, with the answers its documentation gives."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "glsa_test"


class FakeGrafana:
    """State by kind, and every request that changed something."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, Any]] = {}
        self.permissions: dict[str, list[dict[str, Any]]] = {}
        self.teams: list[dict[str, Any]] = []
        self.sources: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.changes: list[str] = []
        self.broken = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Status and body. POST to an existing uid is a conflict (409 or 412), as the documentation says."""
        if self.broken:
            return 500, {"message": "Internal server error"}
        parts = path.removeprefix("/api/").split("/")
        match parts:
            case ["folders"]:
                self.folders[body["uid"]] = {**body, "version": 1}
                return 200, self.folders[body["uid"]]
            case ["folders", uid, "permissions"]:
                self.permissions[uid] = body["items"]
                return 200, {"message": "Folder permissions updated"}
            case ["folders", uid]:
                return self._one(self.folders, uid, method, body)
            case ["teams", "search"]:
                found = [t for t in self.teams if query.get("query", [""])[0] in t["name"]]
                return 200, {"totalCount": len(found), "teams": found, "page": 1, "perPage": 1000}
            case ["teams"]:
                self.teams.append({"id": len(self.teams) + 1, **body})
                return 200, {"message": "Team created", "teamId": len(self.teams)}
            case ["datasources"]:
                self.sources[body["uid"]] = body
                return 200, {"id": len(self.sources), "message": "Datasource added", "name": body["name"]}
            case ["datasources", "uid", uid]:
                return self._one(self.sources, uid, method, body)
            case ["dashboards", "uid", uid]:
                board = self.boards.get(uid)
                return (200, board) if board else (404, {"message": "Dashboard not found"})
            case ["dashboards", "db"]:
                return self._save(body)
            case ["v1", "provisioning", "alert-rules"]:
                self.rules[body["uid"]] = body
                return 201, body
            case ["v1", "provisioning", "alert-rules", uid]:
                return self._one(self.rules, uid, method, body)
        return 404, {"message": f"no such route {method} {path}"}

    def _one(self, rows: dict[str, dict[str, Any]], uid: str, method: str, body: Any) -> tuple[int, Any]:
        if uid not in rows:
            return 404, {"message": "not found"}
        if method == "PUT":
            rows[uid] = {**rows[uid], **body}
        return 200, rows[uid]

    def _save(self, body: dict[str, Any]) -> tuple[int, Any]:
        board = body["dashboard"]
        there = self.boards.get(board["uid"])
        if there is not None and not body["overwrite"]:
            return 412, {"status": "name-exists"}
        version = there["dashboard"]["version"] + 1 if there else 1
        self.boards[board["uid"]] = {
            "dashboard": {**board, "id": len(self.boards) + 1, "version": version},
            "meta": {"folderUid": body["folderUid"]},
        }
        return 200, {"uid": board["uid"], "status": "success", "version": version}


def _handler(grafana: FakeGrafana) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer = 401, {"message": "Invalid API key"}
            else:
                status, answer = grafana.answer(self.command, parts.path, parse_qs(parts.query), body)
                if self.command != "GET":
                    grafana.changes.append(f"{self.command} {parts.path}")
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _do  # noqa: N815 - names that the library looks for

        def log_message(self, *_arguments: Any) -> None:
            """Quiet."""

    return Handler
