from django.db import migrations


def name_them(apps, schema_editor):
    for user in apps.get_model("shop", "User").objects.filter(name=None):
        user.name = user.email.split("@")[0]
        user.save()


class Migration(migrations.Migration):
    dependencies = [("shop", "0008_new_preference_backfill")]
    operations = [
        migrations.RunPython(name_them, migrations.RunPython.noop),
    ]
