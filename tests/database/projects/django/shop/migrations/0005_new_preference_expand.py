from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0004_mail_once")]
    operations = [
        migrations.AddField("User", "new_preference", models.TextField(null=True)),
    ]
