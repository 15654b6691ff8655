"""The logs of a running plugin, its access lines, the request of a log line, and a watchdog."""
