from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shop", "0009_names_backfill")]
    operations = [
        migrations.RemoveField("User", "old_preference"),
    ]
