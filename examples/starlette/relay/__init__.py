"""Files from one browser to another, through the server but never stored on it."""
