#!/usr/bin/env python3
import sys

try:
    import mm_asgi
except ImportError as error:
    # Of what is printed here, a server shows its admin the first line.
    print(f"plugin.py: {error}; its packages belong beside it, for {sys.executable}")
    sys.exit(1)

if __name__ == "__main__":
    mm_asgi.run("pinboard.asgi:application", cookie_path="root")
