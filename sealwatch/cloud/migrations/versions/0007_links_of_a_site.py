"""Links of a site"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sites", schema=None) as batch_op:
        batch_op.add_column(sa.Column("link", sa.String(length=8), server_default="mobile", nullable=False))
        batch_op.add_column(sa.Column("uplink", sa.String(length=100), server_default="", nullable=False))
        batch_op.add_column(sa.Column("feeder", sa.String(length=100), server_default="", nullable=False))
