"""New preference"""

import sqlalchemy as sa
from alembic import op

revision = "e1"
down_revision = "r4"
branch_labels = ("expand",)
depends_on = None


def upgrade():
    op.add_column("users", sa.Column("new_preference", sa.Text))
    op.execute(
        """CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.new_preference := NEW.old_preference;
    RETURN NEW;
END $$"""
    )
    op.execute(
        "CREATE TRIGGER follow BEFORE INSERT OR UPDATE OF old_preference ON users FOR EACH ROW EXECUTE FUNCTION follow()"
    )
