"""Identities of accounts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("oidc_subject", sa.String(length=64), nullable=False, server_default=""))
        batch_op.create_index(batch_op.f("ix_accounts_oidc_subject"), ["oidc_subject"], unique=False)
    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.alter_column("oidc_subject", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_accounts_oidc_subject"))
        batch_op.drop_column("oidc_subject")
