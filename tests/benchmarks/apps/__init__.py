"""The apps that are measured: the same file behind every server."""
