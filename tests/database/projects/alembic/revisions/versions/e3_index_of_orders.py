"""Index of orders"""

from alembic import op

revision = "e3"
down_revision = "e2"
branch_labels = None
depends_on = None


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("orders_user_idx", "orders", ["user_id"], postgresql_concurrently=True)
