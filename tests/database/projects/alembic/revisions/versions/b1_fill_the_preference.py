"""Fill the preference"""

from alembic import op

revision = "b1"
down_revision = "r4"
branch_labels = ("backfill",)
depends_on = "e1"


def upgrade():
    op.execute("UPDATE users SET new_preference = old_preference WHERE new_preference IS NULL")
