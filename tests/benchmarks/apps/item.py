"""FastAPI with one small model as JSON."""

from fastapi import FastAPI
from pydantic import BaseModel


class Item(BaseModel):
    id: int
    name: str
    price: float
    tags: list[str]


app = FastAPI()


@app.get("/item")
async def item() -> Item:
    return Item(id=1, name="teapot", price=12.5, tags=["kitchen", "blue"])
