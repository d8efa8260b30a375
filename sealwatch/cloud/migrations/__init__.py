"""Alembic's steps from one schema to the next. Run by `sealwatch cloud migrate`, never by a worker."""
