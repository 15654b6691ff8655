"""go-plugin's client: the plugin's process, the connection to it, its hooks, health and end."""
