"""Plugins whose hooks call the host's API."""
