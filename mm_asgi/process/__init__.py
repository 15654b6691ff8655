"""A plugin's process: the front, which the host sees, and the worker, which runs the app."""
