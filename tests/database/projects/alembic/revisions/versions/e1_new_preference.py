"""New preference"""

import sqlalchemy as sa
from alembic import op

revision = "e1"
down_revision = "r4"
branch_labels = ("expand",)
depends_on = None


def upgrade():
    op.add_column("users", sa.Column("new_preference", sa.Text))
