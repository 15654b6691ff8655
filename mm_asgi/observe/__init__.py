"""What can be seen of a running plugin: logs, access lines, who a log line belongs to, a watchdog."""
