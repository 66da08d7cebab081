from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_order")]
    operations = [
        migrations.CreateModel("Setting", [("key", models.TextField(primary_key=True)), ("value", models.TextField())]),
    ]
