from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0006_coupon_expand")]
    operations = [
        AddIndexConcurrently("Order", models.Index(fields=["user_id"], name="orders_user_idx")),
    ]
