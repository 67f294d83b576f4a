import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import asyncpg
from fastapi import Depends, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordRequestForm

from backend_common import DATABASE, HASHER, Item, NewItem, NewUser, SignedIn, User, UserChange, added, check_access, echo, found, grant

POOL_SIZE = int(os.environ["POOL_SIZE"])


@asynccontextmanager
async def lifespan(app: FastAPI):
    # asyncpg keeps each statement prepared on each connection.
    async with asyncpg.create_pool(DATABASE, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
        app.state.pool = pool
        yield


async def get_pool(request: Request):
    return request.app.state.pool


app = FastAPI(lifespan=lifespan)
Pool = Annotated[asyncpg.Pool, Depends(get_pool)]


app.websocket("/ws/{client_id}")(echo)


@app.get("/health")
async def health():
    return {"status": "healthy"}


@app.get("/users")
async def list_users(pool: Pool, caller: SignedIn, skip: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> list[User]:
    check_access(caller, 0)
    rows = await pool.fetch("select id, email, name, created_at, is_active from users order by id limit $1 offset $2", limit, skip)
    return [dict(row) for row in rows]


@app.get("/users/{id}")
async def get_user(id: int, pool: Pool, caller: SignedIn) -> User:
    check_access(caller, id)
    return found(await pool.fetchrow("select id, email, name, created_at, is_active from users where id = $1", id))


@app.patch("/users/{id}")
async def change_user(id: int, change: UserChange, pool: Pool, caller: SignedIn) -> User:
    check_access(caller, id)
    if change.is_active is not None:
        check_access(caller, 0)
    return found(await pool.fetchrow(
        """update users set name = coalesce($2, name), is_active = coalesce($3, is_active) where id = $1
        returning id, email, name, created_at, is_active""", id, change.name, change.is_active))


@app.post("/items", status_code=201)
async def add_item(item: NewItem, pool: Pool, caller: SignedIn) -> Item:
    return dict(await pool.fetchrow("insert into items (name, price) values ($1, $2) returning id, name, price", item.name, item.price))


@app.post("/token")
async def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], pool: Pool):
    row = await pool.fetchrow("select id, password_hash, is_active, is_administrator from users where email = $1", form.username.lower())
    answer, stored = await run_in_threadpool(grant, row, form.password)
    await pool.execute("insert into refresh_tokens (hash, user_id, expires_at) values ($1, $2, $3)", *stored)
    return answer


@app.post("/users", status_code=201)
async def sign_up(user: NewUser, pool: Pool) -> User:
    hash = await run_in_threadpool(HASHER.hash, user.password)
    return added(await pool.fetchrow(
        """insert into users (email, name, password_hash, created_at) values ($1, $2, $3, $4) on conflict (email) do nothing
        returning id, email, name, created_at, is_active""", user.email.lower(), user.name, hash, datetime.now(UTC).replace(microsecond=0)))
