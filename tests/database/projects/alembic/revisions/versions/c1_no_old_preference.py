"""No old preference"""

from alembic import op

revision = "c1"
down_revision = "r4"
branch_labels = ("contract",)
depends_on = "b1"


def upgrade():
    op.execute("DROP TRIGGER IF EXISTS follow ON users")
    op.execute("DROP FUNCTION IF EXISTS follow()")
    op.drop_column("users", "old_preference")
