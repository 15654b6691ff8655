"""A Django site as startproject would make it; nothing here knows mm_asgi."""
