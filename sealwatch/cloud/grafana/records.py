"""What Grafana may see of the relational tables: views in a schema of their own, and one read-only role a county.

A role reads views only. Each view shows the rows of the county that `grafana.counties` names for the role that asks
(`current_user`, which a view does not change), behind `security_barrier`, so that no clever condition looks past it.
Telephone numbers, addresses, keys and signed messages are in no view. Times are `timestamptz`.
"""

from __future__ import annotations

import re
from typing import Final

VIEWS: Final = ("sites", "incidents", "alarms", "pages", "nodes", "permits", "check_ins")
_ROLE = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_COUNTY = re.compile(r"^[A-Za-z0-9_-]{1,32}$")

SCHEMA: Final = """
CREATE SCHEMA IF NOT EXISTS grafana;
CREATE TABLE IF NOT EXISTS grafana.counties (role_name text PRIMARY KEY, county_code text NOT NULL);
REVOKE ALL ON SCHEMA grafana FROM PUBLIC;

CREATE OR REPLACE VIEW grafana.sites WITH (security_barrier) AS
SELECT s.site_id, s.name_zh, s.name_en, s.township_zh, s.township_en, s.declared_status,
       s.latitude_deg, s.longitude_deg
FROM public.sites s
WHERE s.county_code IN (SELECT c.county_code FROM grafana.counties c WHERE c.role_name = current_user);

CREATE OR REPLACE VIEW grafana.incidents WITH (security_barrier) AS
SELECT i.incident_id, i.site_id, s.name_zh AS site_zh, s.name_en AS site_en, i.level, i.state, i.verdict, i.reason,
       i.opened_at_ms, to_timestamp(i.opened_at_ms / 1000.0) AS opened_at,
       to_timestamp(i.acknowledged_at_ms / 1000.0) AS acknowledged_at,
       i.closed_at_ms, to_timestamp(i.closed_at_ms / 1000.0) AS closed_at, i.closure,
       first.sentence_zh, first.sentence_en
FROM public.incidents i
JOIN grafana.sites s USING (site_id)
LEFT JOIN LATERAL (
  SELECT a.sentence_zh, a.sentence_en FROM public.alarms a
  WHERE a.incident_id = i.incident_id ORDER BY a.started_at_ms LIMIT 1
) first ON true;

CREATE OR REPLACE VIEW grafana.alarms WITH (security_barrier) AS
SELECT a.node_id, a.alarm_id, a.site_id, s.name_zh AS site_zh, s.name_en AS site_en, a.incident_id, a.kind, a.level,
       a.source_id, a.phase, a.score, a.sentence_zh, a.sentence_en,
       to_timestamp(a.started_at_ms / 1000.0) AS started_at, to_timestamp(a.ended_at_ms / 1000.0) AS ended_at
FROM public.alarms a JOIN grafana.sites s USING (site_id);

CREATE OR REPLACE VIEW grafana.pages WITH (security_barrier) AS
SELECT p.page_id, p.incident_id, i.site_id, i.level, i.state AS incident_state, p.person_id,
       coalesce(n.name, p.person_id) AS person, n.level AS person_level, p.channel, p.state, p.attempts, p.outcome,
       to_timestamp(p.due_at_ms / 1000.0) AS due_at, to_timestamp(p.submitted_at_ms / 1000.0) AS submitted_at,
       to_timestamp(p.answered_at_ms / 1000.0) AS answered_at,
       (p.answered_at_ms - p.submitted_at_ms) / 1000.0 AS answer_s
FROM public.pages p JOIN grafana.incidents i USING (incident_id) LEFT JOIN public.people n USING (person_id);

CREATE OR REPLACE VIEW grafana.nodes WITH (security_barrier) AS
SELECT n.node_id, n.site_id, s.name_zh AS site_zh, s.name_en AS site_en, n.state,
       to_timestamp(n.state_at_ms / 1000.0) AS state_at
FROM public.nodes n JOIN grafana.sites s USING (site_id);

CREATE OR REPLACE VIEW grafana.permits WITH (security_barrier) AS
SELECT p.permit_id, p.site_id, s.name_zh AS site_zh, s.name_en AS site_en, p.from_ms,
       coalesce(p.ended_at_ms, p.to_ms) AS to_ms, to_timestamp(p.from_ms / 1000.0) AS from_at,
       to_timestamp(coalesce(p.ended_at_ms, p.to_ms) / 1000.0) AS to_at, p.from_hour, p.to_hour,
       p.max_power_w, p.max_people, p.purpose
FROM public.permits p JOIN grafana.sites s USING (site_id);

CREATE OR REPLACE VIEW grafana.check_ins WITH (security_barrier) AS
SELECT e.incident_id, i.site_id, i.site_zh, i.site_en, i.level, i.opened_at, i.opened_at_ms, e.taken_ms,
       to_timestamp(e.taken_ms / 1000.0) AS taken_at, coalesce(n.name, e.person_id) AS person, e.accuracy_m,
       -- Haversine on a sphere of the earth's mean radius; both positions are WGS 84. `least` alone would skip a null.
       CASE WHEN way.h IS NOT NULL THEN 2 * 6371008.8 * asin(sqrt(least(1, way.h))) END AS distance_m,
       e.pictures
FROM (
  SELECT v.incident_id, coalesce((v.detail ->> 'taken_at_ms')::bigint, v.at_ms) AS taken_ms,
         regexp_replace(v.actor, '^person:', '') AS person_id,
         (v.detail ->> 'accuracy_m')::float AS accuracy_m, (v.detail ->> 'latitude_deg')::float AS latitude_deg,
         (v.detail ->> 'longitude_deg')::float AS longitude_deg,
         coalesce(json_array_length(v.detail -> 'attachments'), 0) AS pictures
  FROM public.incident_events v WHERE v.kind IN ('arrived', 'checked_in')
) e
JOIN grafana.incidents i USING (incident_id) JOIN grafana.sites s USING (site_id)
CROSS JOIN LATERAL (
  SELECT power(sin(radians(e.latitude_deg - s.latitude_deg) / 2), 2) + cos(radians(s.latitude_deg))
         * cos(radians(e.latitude_deg)) * power(sin(radians(e.longitude_deg - s.longitude_deg) / 2), 2) AS h
) way
LEFT JOIN public.people n ON n.person_id = e.person_id;
"""


def schema_sql() -> str:
    """Views for every county; run it as the owner of the service's tables, again after every migration."""
    return SCHEMA


def role_sql(role: str, county: str, password: str) -> str:
    """A role that reads its county's rows and nothing else. Raises ValueError for a name that is none."""
    return login_sql(role, password) + grant_sql(role, county)


def login_sql(role: str, password: str) -> str:
    """The role itself, which may only read; whoever runs it may make roles. Raises ValueError."""
    _check_role(role)
    secret = password.replace("'", "''")
    if not password or "\\" in password or "\x00" in password:
        raise ValueError("the role's password is empty or holds a backslash; choose another")
    # The name is checked above; the password is a literal with doubled quotes.
    return f"""
DO $do$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF;
END $do$;
ALTER ROLE {role} LOGIN PASSWORD '{secret}' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  CONNECTION LIMIT 20;
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET statement_timeout = '15s';
ALTER ROLE {role} SET search_path = grafana;
"""


def grant_sql(role: str, county: str) -> str:
    """What the role may see; run it as the owner of the views. Raises ValueError."""
    _check_role(role)
    if not _COUNTY.match(county):
        raise ValueError(f"{county!r} is no county code; use letters, digits, - and _")
    return f"""
GRANT USAGE ON SCHEMA grafana TO {role};
GRANT SELECT ON {", ".join(f"grafana.{view}" for view in VIEWS)} TO {role};
INSERT INTO grafana.counties VALUES ('{role}', '{county}')
  ON CONFLICT (role_name) DO UPDATE SET county_code = excluded.county_code;
"""  # noqa: S608 - both names are checked


def _check_role(role: str) -> None:
    if not _ROLE.match(role):
        raise ValueError(f"{role!r} is no role name; use small letters, digits and _")
