from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0004_mail_once")]
    operations = [
        migrations.AddField("User", "new_preference", models.TextField(null=True)),
        migrations.RunSQL(
            """CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.new_preference := NEW.old_preference;
    RETURN NEW;
END $$;
CREATE TRIGGER follow BEFORE INSERT OR UPDATE OF old_preference ON shop_user FOR EACH ROW EXECUTE FUNCTION follow();""",
            migrations.RunSQL.noop,
        ),
    ]
