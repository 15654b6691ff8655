"""``python -m mm_asgi`` is ``mm-asgi``."""

import sys

from mm_asgi.cli import main

sys.exit(main())
