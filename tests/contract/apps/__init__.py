"""The contract's apps, one registry of cases: one app on every road, whatever a test is about.

registry.py says how a case is found and what it has in its hands. The modules beside it are the
cases by subject; catalog.py loads them all and has the app. hooks.py, files.py and busy.py are
plugins with hooks. process/ is a plugin's folder with the apps that test a process; its start file
runs the target that a test names.

This module imports nothing: what a process has to load before the handshake is measured.
"""
