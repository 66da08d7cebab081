from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0005_new_preference_expand")]
    operations = [
        migrations.CreateModel(
            "Coupon", [("code", models.TextField(primary_key=True)), ("user_id", models.BigIntegerField())]
        ),
    ]
