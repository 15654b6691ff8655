"""Products and orders: JSON, a form, a background task."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Form, HTTPException, Request, Response

from mm_asgi.contrib.fastapi import CurrentUserID, OptionalUserID, require_permission
from shop.dependencies import CurrentShop
from shop.store import NewOrder, Order, Product, Shop

router = APIRouter(tags=["orders"])


@router.get("/products")
async def list_products(shop: CurrentShop) -> list[Product]:
    return list(shop.products.values())


@router.get("/orders")
async def list_orders(shop: CurrentShop) -> list[Order]:
    return shop.orders


@router.get("/orders/mine")
async def list_my_orders(shop: CurrentShop, user: CurrentUserID) -> list[Order]:
    """Only for who is logged in to Mattermost: others get a 401."""
    return [order for order in shop.orders if order.buyer == user]


@router.post("/orders/forget", dependencies=[require_permission("manage_system")])
async def forget_orders(shop: CurrentShop) -> None:
    """Only for Mattermost's administrators: its API is asked."""
    shop.orders.clear()


@router.get("/orders/{order_id}")
async def read_order(order_id: int, shop: CurrentShop) -> Order:
    if not 1 <= order_id <= len(shop.orders):
        raise HTTPException(404, "no such order")
    return shop.orders[order_id - 1]


@router.post("/orders", status_code=201)
async def place_order(
    new: NewOrder,
    request: Request,
    response: Response,
    background: BackgroundTasks,
    shop: CurrentShop,
    user: OptionalUserID,
) -> Order:
    order = _place(shop, new, user)
    background.add_task(shop.confirm, order)
    response.headers["Location"] = str(request.url_for("read_order", order_id=order.id))
    return order.model_copy()


@router.post("/orders/form", status_code=201)
async def place_order_by_form(
    new: Annotated[NewOrder, Form()],
    background: BackgroundTasks,
    shop: CurrentShop,
    user: OptionalUserID,
) -> Order:
    order = _place(shop, new, user)
    background.add_task(shop.confirm, order)
    return order.model_copy()


def _place(shop: Shop, new: NewOrder, user: str | None) -> Order:
    try:
        return shop.place(new, user)
    except KeyError:
        raise HTTPException(422, f"no such product: {new.product}") from None
