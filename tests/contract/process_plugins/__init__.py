"""Plugin processes for the L rows: apps that a start file runs, and hosts that start it.

``apps/`` is one plugin folder: its start file runs the app that PROCESS_APP names. bell.py,
light_host.py and real_host.py are the tests' side.
"""
