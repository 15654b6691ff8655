"""What Mattermost gets of a plugin: a folder with a manifest, packed as a tar.gz."""
