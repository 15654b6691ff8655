"""A Django site: a board that everybody on the server can pin notes to."""
