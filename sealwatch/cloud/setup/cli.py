"""`sealwatch cloud init`: every step in its order, what became of it, and what to type next."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.text import Language
from sealwatch.cloud.config import load_cloud
from sealwatch.cloud.paging.channels import trial
from sealwatch.cloud.setup import database, files, series
from sealwatch.cloud.setup import plan as plans
from sealwatch.cloud.setup.plan import Plan
from sealwatch.cloud.setup.steps import Outcome, Step, Told, done, failed, skipped, walk

_STYLE: Final = {
    Outcome.DONE: "green",
    Outcome.SKIPPED: "dim",
    Outcome.FAILED: "bold red",
    Outcome.WAITING: "yellow",
}
_TOKEN_HOURS: Final = 24.0


def configure(commands: Any) -> None:
    """Add the command to those of `sealwatch cloud`."""
    summary = "from an empty server to the first enrolled node; may be repeated, and goes on where it stopped"
    init = commands.add_parser("init", help=summary, description=summary)
    init.add_argument("--host", required=True, help="name under which people and nodes reach this server")
    init.add_argument("--layout", choices=["machine", "compose"], default="machine", help="who runs the servers")
    init.add_argument("--county", default="", metavar="CODE", help="county by its division code")
    init.add_argument("--folder", type=Path, default=Path("/etc/sealwatch"), help="configuration (/etc/sealwatch)")
    init.add_argument("--data", type=Path, default=Path("/var/lib/sealwatch-cloud"), help="what the service keeps")
    init.add_argument("--database", default="", metavar="URL", help="postgresql://sealwatch@host/db; else SQLite")
    init.add_argument(
        "--series", default="", metavar="ENGINE=URL", help="influxdb=http://… or victoria=http://…; else embedded"
    )
    init.add_argument("--site", default="", metavar="ID=NAME", help="the first site, such as 210423000017=示范沟一号井")
    init.add_argument("--node", default="", metavar="NODE", help="node_id to print an enrolment token for")
    init.add_argument("--page", default="", metavar="CHANNEL:PERSON", help="send this person a page marked as a test")
    init.set_defaults(run=_init)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The plan that the command line means. Raises UsageError."""
    site, _, site_name = arguments.site.partition("=")
    more = {"site": site, "site_name": site_name, "node": arguments.node, "page": arguments.page}
    if not arguments.host or "/" in arguments.host or ":" in arguments.host:
        raise UsageError("--host: give a name or an IPv4 address without scheme and port, such as seal.example.cn")
    folder, data = arguments.folder.absolute(), arguments.data.absolute()
    if arguments.layout == "compose":
        if arguments.database or arguments.series:
            raise UsageError("--database and --series: compose.yaml brings both servers; leave them out")
        return plans.compose(arguments.host, folder, data, arguments.county, **more)
    if arguments.database and not arguments.database.startswith(f"postgresql://{plans.SERVICE_ROLE}@"):
        raise UsageError(f"--database: wanted is postgresql://{plans.SERVICE_ROLE}@host:5432/database, no password")
    engine, _, series_url = arguments.series.partition("=")
    if engine not in {"", "influxdb", "victoria"} or (engine and not series_url.startswith(("http://", "https://"))):
        raise UsageError("--series: wanted is influxdb=http://host:8086 or victoria=http://host:8428")
    return Plan(
        layout="machine",
        host=arguments.host,
        folder=folder,
        data=data,
        county=arguments.county,
        database=arguments.database,
        engine=engine or "embedded",
        series_url=series_url,
        **more,
    )


def _init(arguments: argparse.Namespace) -> int:
    plan, language = plan_of(arguments), text.terminal_language()
    console = Console(highlight=False, soft_wrap=True)
    tokens: list[str] = []
    worst = Outcome.SKIPPED
    for name, told in walk(steps(plan, language, tokens)):
        console.print(_line(name, told, language))
        if told.outcome in {Outcome.FAILED, Outcome.WAITING}:
            worst = Outcome.FAILED
    if tokens or worst is not Outcome.FAILED:  # a token is shown whatever else failed: it is shown this once
        for line in _next(plan, tokens, language):
            console.print(escape(line))
    if worst is Outcome.FAILED:
        raise CommandFailed(text.say(language, "init.again"))
    return 0


def _line(name: str, told: Told, language: Language) -> str:
    outcome = f"[{_STYLE[told.outcome]}]{text.say(language, f'init.outcome.{told.outcome}')}[/]"
    step = text.say(language, f"init.step.{name}")
    return text.say(language, "init.line", outcome=outcome, step=step, sentence=escape(_sentence(told, language)))


def _sentence(told: Told, language: Language) -> str:
    values = dict(told.values)
    if told.key == "waits":
        values["step"] = text.say(language, f"init.step.{values['step']}")
    return text.say(language, f"init.{told.key}", **values)


def steps(plan: Plan, language: Language, tokens: list[str]) -> list[Step]:
    """Everything in its order; a token that is made is added to `tokens`, for nobody else ever sees it."""

    def token() -> Told:
        told, made = database.one_time_token(plan, _TOKEN_HOURS)
        tokens.extend([made] if made else [])
        return told

    return [
        Step("secrets", lambda: files.draw_secrets(plan)),
        Step("config", lambda: files.write_config(plan), ("secrets",)),
        Step("authority", lambda: files.make_authority(plan)),
        Step("broker", lambda: files.make_broker(plan), ("authority",)),
        Step("proxy", lambda: files.make_proxy(plan), ("authority",)),
        Step("dashboards", lambda: files.render_dashboards(plan)),
        Step("database", lambda: database.make_database(plan), ("secrets",)),
        Step("tables", lambda: database.make_tables(plan), ("config", "database")),
        Step("views", lambda: database.make_views(plan), ("tables",)),
        Step("series", lambda: series.make_series(plan), ("config",)),
        Step("registry", lambda: database.register(plan), ("tables",)),
        Step("page", lambda: _test_page(plan, language), ("config",)),
        Step("token", token, ("registry",)),
        Step("owners", lambda: files.hand_over(plan)),
    ]


def _test_page(plan: Plan, language: Language) -> Told:
    from sealwatch.cloud.service import channels_alone  # everything a page may need: not loaded by every command

    settings = load_cloud(plan.config)
    if not plan.page:
        people = next((person.person_id for person in settings.people), "")
        return skipped("page.later", person=people or "PERSON", file=plan.config)
    channel, _, person = plan.page.partition(":")
    with contextlib.ExitStack() as opened:
        known = channels_alone(settings, plan.config, opened)
        submission, sentences = trial.run(settings, known, channel, person, language)
    return (done if submission.ok else failed)("page.said", said=" ".join(sentences))


def _start(plan: Plan) -> list[str]:
    if plan.compose:
        return ["docker compose up --detach --wait"]
    return [
        f"cp {plan.folder}/broker/mosquitto.conf /etc/mosquitto/conf.d/sealwatch.conf",
        f"cp {plan.folder}/proxy/sealwatch.conf /etc/nginx/sites-enabled/",
        "systemctl restart mosquitto nginx",
        "systemctl enable --now sealwatch-cloud sealwatch-backup.timer sealwatch-retention.timer",
    ]


def _next(plan: Plan, tokens: list[str], language: Language) -> list[str]:
    """The exact commands that come now."""
    lines = [text.say(language, "init.next.start"), *(f"  {command}" for command in _start(plan))]
    config = "/etc/sealwatch/cloud.toml" if plan.compose else plan.config
    first = f"sealwatch cloud account first --config {config}"
    lines.append(text.say(language, "init.next.admin"))
    lines.append(f"  docker compose exec service {first}" if plan.compose else f"  sudo -u sealwatch-cloud {first}")
    for token in tokens:
        ca = "ca.pem" if plan.compose else str(plan.folder / "tls" / "ca.pem")
        command = f"sealwatch edge enrol --cloud {plan.cloud_url} --ca-file ca.pem --token {token}"
        lines.append(text.say(language, "init.next.node", file=ca, node=plan.node))
        lines.append(f"  {command} --config /var/lib/sealwatch/node.toml")
    return lines
