
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
