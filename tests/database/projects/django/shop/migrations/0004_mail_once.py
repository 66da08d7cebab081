from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_setting")]
    operations = [
        migrations.AlterField("User", "email", models.TextField(unique=True)),
    ]
