"""What routes ask for, beside what mm_asgi.contrib.fastapi has."""

from typing import Annotated

from fastapi import Depends, Request

from shop.store import Shop


async def get_shop(request: Request) -> Shop:
    shop: Shop = request.state.shop  # from the lifespan
    return shop


CurrentShop = Annotated[Shop, Depends(get_shop)]
