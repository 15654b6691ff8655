"""Go's net/http and what Mattermost does to a request before a plugin gets it."""
