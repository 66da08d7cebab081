from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shop", "0007_index_of_orders_expand")]
    operations = [
        migrations.RunSQL(
            "UPDATE shop_user SET new_preference = old_preference WHERE new_preference IS NULL", migrations.RunSQL.noop
        ),
    ]
