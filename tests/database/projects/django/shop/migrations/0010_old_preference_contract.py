from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shop", "0009_names_backfill")]
    operations = [
        migrations.RunSQL("DROP TRIGGER follow ON shop_user; DROP FUNCTION follow();", migrations.RunSQL.noop),
        migrations.RemoveField("User", "old_preference"),
    ]
