"""The page's HTML: whole without script as far as reading goes; every value escaped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from html import escape

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.edge.changes import Change
from sealwatch.edge.page.checklist import Line

_MARKS = {"good": "✓", "wrong": "✗", "waiting": "…", "none": "–"}
_EDITOR_WORDS = (
    "zone", "line", "region", "saved", "must_restart", "not_saved", "name", "dwell", "loiter", "remove", "swap",
    "stale", "hint_idle", "hint_polygon", "hint_line", "hint_inside", "unsaved", "gate", "boxes", "alarms", "faults",
    "unnamed", "gone",
)  # fmt: skip


def local_time(at_ms: int) -> str:
    """Local time of the site (UTC+8), to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000 + 8 * 3600))


def login(language: Language, *, node: str, sentence: str = "") -> str:
    """The way in; `sentence` says why the last attempt failed."""
    wrong = f'<p class="wrong" role="alert">{escape(sentence)}</p>' if sentence else ""
    body = f"""<main class="login"><h1>{_say(language, "installer.title")}</h1>
<p class="soft">{escape(node)}</p>{wrong}
<form method="post" action="/login">
<label>{_say(language, "installer.user")}
<input name="name" autocomplete="username" required maxlength="32" autofocus></label>
<label>{_say(language, "installer.password")}
<input name="password" type="password" autocomplete="current-password" required maxlength="200"></label>
<button class="primary">{_say(language, "installer.enter")}</button></form>
<p class="soft">{_say(language, "installer.no_password")}</p></main>"""
    return _page(language, body, here="/login")


def home(language: Language, *, node: str, who: str, csrf: str, cameras: Sequence[str], lines: Iterable[Line]) -> str:
    """Cameras and checklist."""
    cards = "".join(
        f'<a class="camera" href="/cameras/{escape(camera)}"><img data-live="/api/cameras/{escape(camera)}/picture" '
        f'width="320" height="180" alt=""><strong>{escape(camera)}</strong>'
        f"<span>{_say(language, 'installer.draw')}</span></a>"
        for camera in cameras
    )
    body = f"""<main class="home"><section><h1>{_say(language, "installer.checklist")}</h1>
<p class="soft" id="summary">{escape(summary(language, lines))}</p>
<ul class="checks" id="checks">{checks(language, lines)}</ul></section>
<section><h2>{_say(language, "installer.cameras")}</h2>
<div class="cameras">{cards or _say(language, "installer.no_cameras")}</div></section></main>"""
    return _page(language, body, here="/", top=_top(language, node, who, csrf))


def summary(language: Language, lines: Iterable[Line]) -> str:
    """One sentence on top of the checklist."""
    states = [line.state for line in lines]
    open_ones = states.count("wrong")
    key = (
        "installer.some_open"
        if open_ones
        else "installer.only_waiting"
        if "waiting" in states
        else "installer.all_good"
    )
    return text.say(language, key, count=open_ones, waiting=states.count("waiting"), good=states.count("good"))


def checks(language: Language, lines: Iterable[Line]) -> str:
    """The lines of the checklist."""
    found = []
    for line in lines:
        values = dict(line.values)
        sentence = line.sentence(language)
        if "at_ms" in values:
            sentence = f"{sentence} {local_time(int(values['at_ms']))}"
        night = (
            f' <a href="/api/cameras/{escape(line.subject)}/night">{_say(language, "installer.look")}</a>'
            if line.item == "night" and line.state == "good"
            else ""
        )
        found.append(
            f'<li class="{line.state}"><span class="mark" aria-hidden="true">{_MARKS[line.state]}</span>'
            f"<span><strong>{_say(language, f'installer.item.{line.item}')} {escape(line.subject)}</strong>"
            f"<em>{_say(language, f'installer.state.{line.state}')}</em>"
            f'<span class="what">{escape(sentence)}{night}</span></span></li>'
        )
    return "".join(found)


def editor(language: Language, *, node: str, who: str, csrf: str, camera: str) -> str:
    """One camera: the live picture and what is drawn on it."""
    words = {name: text.catalogue()[f"installer.editor.{name}"][language] for name in _EDITOR_WORDS}
    tools = "".join(
        f'<button type="button" data-tool="{tool}">{_say(language, f"installer.editor.add_{tool}")}</button>'
        for tool in ("zone", "line", "region")
    )
    body = f"""<main class="editor" id="editor" data-camera="{escape(camera)}"
data-words="{escape(json.dumps(words, ensure_ascii=False))}">
<section class="stage"><div class="pane" id="pane"><canvas id="picture" width="640" height="360"></canvas>
<svg id="overlay" role="application" aria-label="{_say(language, "installer.editor.label")}"></svg></div>
<p class="live" id="live" role="status">{_say(language, "installer.editor.waiting")}</p></section>
<section class="side"><h1>{escape(camera)}</h1>
<p id="hint" role="status">{_say(language, "installer.editor.hint_idle")}</p>
<div class="tools" id="tools">{tools}
<button type="button" id="finish" hidden>{_say(language, "installer.editor.finish")}</button>
<button type="button" id="undo" hidden>{_say(language, "installer.editor.undo")}</button>
<button type="button" id="cancel" hidden>{_say(language, "installer.editor.cancel")}</button></div>
<ul class="shapes" id="shapes"></ul>
<p class="message" id="message" role="alert" hidden></p>
<div class="save">
<button type="button" class="primary" id="save" disabled>{_say(language, "installer.editor.save")}</button>
<button type="button" id="reload" hidden>{_say(language, "installer.editor.reload")}</button>
<p class="soft">{_say(language, "installer.editor.recorded")}</p></div>
<noscript>{_say(language, "installer.editor.script")}</noscript></section></main>"""
    return _page(language, body, here=f"/cameras/{camera}", top=_top(language, node, who, csrf))


def change_list(language: Language, *, node: str, who: str, csrf: str, changes: Iterable[Change]) -> str:
    """Who changed what."""
    rows = []
    for change in changes:
        what = text.say(
            language,
            f"installer.alarm.{change.what}",
            who=change.who or text.say(language, "installer.somebody"),
            where=change.where or text.say(language, "installer.somebody"),
            subject=change.subject,
            before=change.before or text.say(language, "installer.nothing"),
            after=change.after or text.say(language, "installer.nothing"),
        )
        rows.append(f"<li><time>{local_time(change.at_ms)}</time><span>{escape(what)}</span></li>")
    body = f"""<main class="log"><h1>{_say(language, "installer.changes")}</h1>
<ul class="changes">{"".join(rows) or f"<li>{_say(language, 'installer.no_changes')}</li>"}</ul></main>"""
    return _page(language, body, here="/changes", top=_top(language, node, who, csrf))


def problem(language: Language, sentence: str) -> str:
    """Something that cannot be shown."""
    back = f'<p><a class="button" href="/">{_say(language, "installer.back")}</a></p>'
    return _page(language, f'<main class="login"><h1>{escape(sentence)}</h1>{back}</main>', here="/")


def _top(language: Language, node: str, who: str, csrf: str) -> str:
    return f"""<nav class="top">
<a class="brand" href="/">{_say(language, "installer.brand")} <small>{escape(node)}</small></a>
<a href="/changes">{_say(language, "installer.changes")}</a>
<form method="post" action="/logout"><input type="hidden" name="csrf" value="{escape(csrf)}">
<button class="quiet">{_say(language, "installer.leave")} {escape(who)}</button></form></nav>
<meta name="csrf" content="{escape(csrf)}">"""


def _page(language: Language, body: str, *, here: str, top: str = "") -> str:
    other = Language.EN if language is Language.ZH else Language.ZH
    code = "zh-CN" if language is Language.ZH else "en"
    return f"""<!doctype html><html lang="{code}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{_say(language, "installer.title")}</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/page.css">
<script src="/static/page.js" defer></script></head><body>{top}{body}
<footer><a href="{escape(here)}?lang={other}">{_say(language, "installer.other_language")}</a></footer></body></html>"""


def _say(language: Language, key: str) -> str:
    return escape(text.say(language, key))
