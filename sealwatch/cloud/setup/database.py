"""The steps on the relational database: role and database, tables, who may read for dashboards, the registry."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql

from sealwatch.base import settings as settings_
from sealwatch.base.clock import SystemClock
from sealwatch.base.files import replace_file
from sealwatch.cloud.auth import service_key
from sealwatch.cloud.config import load_cloud
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import hold_alone, open_database, open_engine
from sealwatch.cloud.db.place import database_url
from sealwatch.cloud.db.tables import Node
from sealwatch.cloud.downlink.cli import actor
from sealwatch.cloud.downlink.queue import publish_declaration
from sealwatch.cloud.enrolment.desk import make_token
from sealwatch.cloud.grafana.records import grant_sql, login_sql, schema_sql
from sealwatch.cloud.registry.sync import sync
from sealwatch.cloud.setup.plan import SERVICE_ROLE, Plan
from sealwatch.cloud.setup.steps import Told, done, failed, skipped

_WAIT_S: Final = 5


def make_database(plan: Plan) -> Told:
    """Role and database of the service, by the server's own administrator."""
    url = plan.database_url
    if url is None:
        plan.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return skipped("database.sqlite", folder=plan.data)
    where = f"{url.host}:{url.port or 5432}"
    try:
        psycopg.connect(_dsn(plan, str(url.username), "database-password", str(url.database))).close()
    except psycopg.OperationalError as error:
        cause = _first_line(error)
    else:
        return skipped("database.there", where=where, name=url.database)
    if not plan.compose:
        file = plan.secret("database.sql")
        replace_file(file, administrators_sql(plan).encode())
        return failed("database.by_hand", where=where, cause=cause, file=file)
    try:
        with psycopg.connect(_dsn(plan, "postgres", "postgres-password", "postgres"), autocommit=True) as server:
            _make(server, plan)
    except psycopg.OperationalError as error:
        return failed("database.away", where=where, cause=_first_line(error))
    return done("database.made", where=where, name=url.database)


def administrators_sql(plan: Plan) -> str:
    r"""What PostgreSQL's administrator runs once through psql; `\gexec` because CREATE DATABASE allows no condition."""
    name = str(plan.database_url.database) if plan.database_url else ""
    query = sql.SQL("SELECT {} WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = {})\\gexec\n")
    create = f"CREATE DATABASE {name} OWNER {SERVICE_ROLE} ENCODING 'UTF8' TEMPLATE template0"
    return _roles_sql(plan) + query.format(sql.Literal(create), sql.Literal(name)).as_string(None)


def _roles_sql(plan: Plan) -> str:
    password = sql.Literal(plan.secret("database-password").read_text(encoding="ascii").strip()).as_string(None)
    return (
        "DO $do$ BEGIN\n"
        f"  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SERVICE_ROLE}') THEN\n"
        f"    CREATE ROLE {SERVICE_ROLE};\n  END IF;\nEND $do$;\n"
        f"ALTER ROLE {SERVICE_ROLE} LOGIN PASSWORD {password} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;\n"
        + login_sql(plan.grafana_role, settings_.secret(f"file:{plan.secret('grafana-records-password')}"))
    )


def _make(server: psycopg.Connection[Any], plan: Plan) -> None:
    server.execute(_roles_sql(plan).encode())
    name = str(plan.database_url.database) if plan.database_url else ""
    if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
        create = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0")
        server.execute(create.format(sql.Identifier(name), sql.Identifier(SERVICE_ROLE)))


def make_tables(plan: Plan) -> Told:
    """Migrations, forward only."""
    engine = open_engine(database_url(load_cloud(plan.config).database, plan.data))
    try:
        before, after = migrate.migrate(engine)
    finally:
        engine.dispose()
    return skipped("tables.there", after=after) if before == after else done("tables.made", after=after)


def make_views(plan: Plan) -> Told:
    """What the county's dashboards may read of the records, written anew each time: a migration may have changed it."""
    url = plan.database_url
    if url is None or not plan.county:
        return skipped("views.none")
    role = plan.grafana_role
    with psycopg.connect(_dsn(plan, str(url.username), "database-password", str(url.database))) as owner:
        if owner.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
            file = plan.secret("database.sql")
            replace_file(file, administrators_sql(plan).encode())
            return failed("views.no_role", role=role, file=file)
        schema = owner.execute("SELECT to_regclass('grafana.counties')").fetchone()
        known = schema is not None and schema[0] is not None
        query = "SELECT county_code FROM grafana.counties WHERE role_name = %s"
        there = owner.execute(query, [role]).fetchone() if known else None
        owner.execute(schema_sql().encode())
        owner.execute(grant_sql(role, plan.county).encode())
    made = there is None or there[0] != plan.county
    return (done if made else skipped)("views.made" if made else "views.there", role=role, county=plan.county)


def register(plan: Plan) -> Told:
    """The sites and people of `cloud.toml` into the registry, as the service does at its start."""
    settings = load_cloud(plan.config)
    database = open_database(database_url(settings.database, plan.data))
    try:
        with database.write() as session:
            hold_alone(session)
            report = sync(session, settings)
            session.flush()
            for site in settings.sites:
                publish_declaration(session, site.site_id, author="system", now_ms=SystemClock().wall_ms())
    finally:
        database.close()
    if not settings.sites:
        return failed("registry.no_site", file=plan.config)
    changed = len(report.added) + len(report.changed)
    key = "registry.changed" if changed else "registry.there"
    return (done if changed else skipped)(key, count=changed, sites=len(settings.sites))


def one_time_token(plan: Plan, hours: float) -> tuple[Told, str]:
    """A token for the node, unless it is enrolled already; the token is "" then."""
    if not plan.node:
        return skipped("token.no_node"), ""
    settings = load_cloud(plan.config)
    site = plan.site or (settings.sites[0].site_id if len(settings.sites) == 1 else "")
    if not site:
        return failed("token.which_site", count=len(settings.sites)), ""
    database = open_database(database_url(settings.database, plan.data))
    try:
        with database.write() as session:
            node = session.get(Node, plan.node)
            if node is not None and node.enrolled_at_ms is not None and node.revoked_at_ms is None:
                return skipped("token.enrolled", node=plan.node), ""
            token = make_token(
                session,
                key=service_key.load_or_create(plan.data),
                node_id=plan.node,
                site_id=site,
                author=actor(),
                now_ms=SystemClock().wall_ms(),
                valid_s=hours * 3600,
            )
    finally:
        database.close()
    return done("token.made", node=plan.node, site=site, hours=f"{hours:g}"), token


def _first_line(error: psycopg.Error) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _dsn(plan: Plan, user: str, secret: str, database: str) -> str:
    url = plan.database_url
    password = plan.secret(secret)
    return psycopg.conninfo.make_conninfo(
        host=url.host if url else None,
        port=(url.port or 5432) if url else None,
        dbname=database,
        user=user,
        password=password.read_text(encoding="ascii").strip() if password.exists() else None,
        connect_timeout=_WAIT_S,
    )
