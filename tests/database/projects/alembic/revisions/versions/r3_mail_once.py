"""Mail once"""

from alembic import op

revision = "r3"
down_revision = "r2"
branch_labels = None
depends_on = None


def upgrade():
    op.create_unique_constraint("users_email_key", "users", ["email"])
