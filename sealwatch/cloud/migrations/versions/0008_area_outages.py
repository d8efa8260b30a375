"""Area outages: incidents of many sites."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NOT_CLOSED = sa.text("state <> 'closed'")


def upgrade() -> None:
    op.drop_index("ix_incidents_one_open_per_site", table_name="incidents")
    op.add_column("incidents", sa.Column("scope", sa.String(length=8), server_default="site", nullable=False))
    op.add_column("incidents", sa.Column("area", sa.String(length=200), server_default="", nullable=False))
    op.create_index(
        "ix_incidents_one_open_per_site",
        "incidents",
        ["site_id", "scope"],
        unique=True,
        sqlite_where=_NOT_CLOSED,
        postgresql_where=_NOT_CLOSED,
    )
    op.create_table(
        "incident_sites",
        sa.Column("incident_id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("joined_at_ms", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("back_at_ms", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.incident_id"], name=op.f("fk_incident_sites_incident_id_incidents")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["sites.site_id"], name=op.f("fk_incident_sites_site_id_sites")),
        sa.PrimaryKeyConstraint("incident_id", "site_id", name=op.f("pk_incident_sites")),
    )
