#!/bin/sh
# The jobs of a county's service, in a container of their own: roll-ups and retention every hour, a backup every night.
# A job that fails is said on standard error and tried again an hour later; this loop never ends by itself.
set -u
config=${SEALWATCH_CONFIG:-/etc/sealwatch/cloud.toml}
backups=${SEALWATCH_BACKUPS:-/var/backups/sealwatch}
hour=${SEALWATCH_BACKUP_HOUR_UTC:-19}
turn_s=${SEALWATCH_JOBS_EVERY_S:-3600}

newest_is_older_than_20_hours() {
  ! find "$backups" -mindepth 1 -maxdepth 1 -type d -name '20*' -mmin -1200 | grep -q .
}

while :; do
  sealwatch telemetry retention --config "$config" || echo "sealwatch-jobs: retention failed; again in an hour" >&2
  # At the hour, or later where the machine was off at that time.
  if newest_is_older_than_20_hours && [ "$(date -u +%H)" -ge "$hour" ]; then
    sealwatch cloud backup "$backups" --keep 14 --config "$config" ||
      echo "sealwatch-jobs: the backup failed; again in an hour" >&2
  fi
  sleep "$turn_s" &
  wait $!
done
