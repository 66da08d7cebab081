"""MySQL and MariaDB under migrations: reached, and changed as far as they let it be undone, which is not far."""
