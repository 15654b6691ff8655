"""A small shop: an ordinary FastAPI app."""
