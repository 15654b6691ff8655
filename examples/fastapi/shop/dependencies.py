"""What routes ask for."""

from typing import Annotated

from fastapi import Depends, Request

import mm_asgi
from shop.store import Shop


async def get_shop(request: Request) -> Shop:
    shop: Shop = request.state.shop  # from the lifespan
    return shop


async def get_user(request: Request) -> str | None:
    """The Mattermost user's id; None: not logged in, or no Mattermost around (plain uvicorn)."""
    try:
        return mm_asgi.identity(request.scope).user_id
    except LookupError:
        return None


CurrentShop = Annotated[Shop, Depends(get_shop)]
CurrentUser = Annotated[str | None, Depends(get_user)]
