"""Coupons"""

import sqlalchemy as sa
from alembic import op

revision = "e2"
down_revision = "e1"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "coupons", sa.Column("code", sa.Text, primary_key=True), sa.Column("user_id", sa.BigInteger, nullable=False)
    )
