"""Responses kept under a program's Idempotency-Key"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_responses",
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("at_ms", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("status", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_kept_responses")),
    )
    with op.batch_alter_table("kept_responses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_kept_responses_at_ms"), ["at_ms"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("kept_responses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_kept_responses_at_ms"))
    op.drop_table("kept_responses")
