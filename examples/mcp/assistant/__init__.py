"""An MCP server: what a language model may do in Mattermost, as the user who asks."""
