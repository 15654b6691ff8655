"""Where to eat today: a small, ordinary Flask app."""
