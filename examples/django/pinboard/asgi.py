"""The site as an ASGI app, its database brought up to date first."""

import os
from concurrent.futures import ThreadPoolExecutor

from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connections


def migrate() -> None:
    call_command("migrate", interactive=False, verbosity=0)
    connections.close_all()


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pinboard.settings")
application = get_asgi_application()

# In a thread: an ASGI server imports this module while its event loop runs (uvicorn does too), and
# there Django refuses to touch the database.
with ThreadPoolExecutor(max_workers=1) as pool:
    pool.submit(migrate).result()
