"""The database that both colours share: its migrations read, judged, rehearsed, carried out and recorded."""
