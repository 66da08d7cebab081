from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "User",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("email", models.TextField()),
                ("name", models.TextField(null=True)),
                ("old_preference", models.TextField(null=True)),
            ],
        ),
    ]
