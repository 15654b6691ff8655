"""The shop itself, all of it in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

from pydantic import BaseModel, Field


class Product(BaseModel):
    id: str
    name: str
    cents: int


class Order(BaseModel):
    id: int
    product: str
    quantity: int
    buyer: str | None = None
    note: str = ""
    status: Literal["new", "confirmed"] = "new"


class NewOrder(BaseModel):
    product: str
    quantity: int = Field(default=1, ge=1, le=100)
    note: str = Field(default="", max_length=200)


class News(BaseModel):
    """What the feed tells: an order is new or was confirmed, or how many watch."""

    kind: Literal["order", "watchers"]
    order: Order | None = None
    watchers: int = 0


PRODUCTS = [
    Product(id="mug", name="Mug", cents=900),
    Product(id="shirt", name="T-shirt", cents=2400),
    Product(id="stickers", name="Stickers", cents=350),
]


class Shop:
    def __init__(self) -> None:
        self.products = {product.id: product for product in PRODUCTS}
        self.orders: list[Order] = []
        self._watchers: set[asyncio.Queue[News]] = set()

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def place(self, new: NewOrder, buyer: str | None) -> Order:
        """Raises KeyError when there is no such product."""
        product = self.products[new.product]
        order = Order(
            id=len(self.orders) + 1,
            product=product.id,
            quantity=new.quantity,
            buyer=buyer,
            note=new.note,
        )
        self.orders.append(order)
        self._tell(News(kind="order", order=order.model_copy()))
        return order

    async def confirm(self, order: Order) -> None:
        order.status = "confirmed"
        self._tell(News(kind="order", order=order.model_copy()))

    async def watch(self) -> AsyncIterator[News]:
        """The news from now on; other watchers are told of a newcomer and of one who leaves."""
        queue: asyncio.Queue[News] = asyncio.Queue()
        self._tell(News(kind="watchers", watchers=self.watchers + 1))
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)
            self._tell(News(kind="watchers", watchers=self.watchers))

    def _tell(self, news: News) -> None:
        for queue in self._watchers:
            queue.put_nowait(news)
