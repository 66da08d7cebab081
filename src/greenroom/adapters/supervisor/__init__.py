"""Programs kept running by supervisord: the client, the launcher that each program starts with, the ender."""
