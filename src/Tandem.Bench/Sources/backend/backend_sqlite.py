import sqlite3
import threading
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Query
from fastapi.security import OAuth2PasswordRequestForm

from backend_common import DATABASE, HASHER, Item, NewItem, NewUser, SignedIn, User, UserChange, added, check_access, echo, found, grant

# Endpoints that are no coroutines run in a pool of threads, as FastAPI's documentation has it for SQL; each thread has a connection of its own.
app = FastAPI()
local = threading.local()
writing = threading.Lock()


def database() -> sqlite3.Connection:
    if not hasattr(local, "connection"):
        connection = sqlite3.connect(DATABASE, timeout=30, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        local.connection = connection
    return local.connection


def read(sql: str, *values):
    return database().execute(sql, values)


def write(sql: str, *values):
    # Each statement is a transaction. Threads wait for each other here: a lock of Python's wakes them sooner than SQLite's waiting does.
    with writing:
        return database().execute(sql, values).fetchall()


app.websocket("/ws/{client_id}")(echo)


@app.get("/health")
async def health():
    return {"status": "healthy"}


@app.get("/users")
def list_users(caller: SignedIn, skip: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> list[User]:
    check_access(caller, 0)
    return [dict(row) for row in read("select id, email, name, created_at, is_active from users order by id limit ? offset ?", limit, skip)]


@app.get("/users/{id}")
def get_user(id: int, caller: SignedIn) -> User:
    check_access(caller, id)
    return found(read("select id, email, name, created_at, is_active from users where id = ?", id).fetchone())


@app.patch("/users/{id}")
def change_user(id: int, change: UserChange, caller: SignedIn) -> User:
    check_access(caller, id)
    if change.is_active is not None:
        check_access(caller, 0)
    rows = write(
        """update users set name = coalesce(?2, name), is_active = coalesce(?3, is_active) where id = ?1
        returning id, email, name, created_at, is_active""", id, change.name, change.is_active)
    return found(rows[0] if rows else None)


@app.post("/items", status_code=201)
def add_item(item: NewItem, caller: SignedIn) -> Item:
    return dict(write("insert into items (name, price) values (?, ?) returning id, name, price", item.name, item.price)[0])


@app.post("/token")
def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
    row = read("select id, password_hash, is_active, is_administrator from users where email = ?", form.username.lower()).fetchone()
    answer, (hash, user, expires) = grant(row, form.password)
    write("insert into refresh_tokens (hash, user_id, expires_at) values (?, ?, ?)", hash, user, expires.isoformat())
    return answer


@app.post("/users", status_code=201)
def sign_up(user: NewUser) -> User:
    rows = write(
        """insert into users (email, name, password_hash, created_at) values (?, ?, ?, ?) on conflict (email) do nothing
        returning id, email, name, created_at, is_active""",
        user.email.lower(), user.name, HASHER.hash(user.password), datetime.now(UTC).replace(microsecond=0).isoformat())
    return added(rows[0] if rows else None)
