"""The models, the token and the password of the contract, as FastAPI's documentation writes them; the routes are in backend_asyncpg.py and backend_sqlite.py."""
import hashlib
import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import Depends, HTTPException, WebSocket, WebSocketDisconnect, WebSocketException, status
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, EmailStr, StringConstraints

ISSUER, AUDIENCE = "http://localhost/", "tandem"
LIFETIME, REFRESH_LIFETIME = timedelta(hours=24), timedelta(days=30)
DATABASE = os.environ["DATABASE"]

with open(os.environ["SIGNING_KEY"], "rb") as file:
    PRIVATE_KEY = load_pem_private_key(file.read(), password=None)
PUBLIC_KEY = PRIVATE_KEY.public_key()
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


class User(BaseModel):
    id: int
    email: str
    name: str
    created_at: datetime
    is_active: bool


Name = Annotated[str, StringConstraints(max_length=200, pattern=r"\S")]


class NewUser(BaseModel):
    model_config = ConfigDict(strict=True)

    email: Annotated[EmailStr, StringConstraints(max_length=254)]
    name: Name
    password: Annotated[str, StringConstraints(min_length=8, max_length=256)]


class UserChange(BaseModel):
    model_config = ConfigDict(strict=True)

    name: Name = None
    is_active: bool = None


class NewItem(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    price: float


class Item(NewItem):
    id: int


class Caller(BaseModel):
    id: int
    is_administrator: bool


def decode(token: str) -> dict:
    return jwt.decode(token, PUBLIC_KEY, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER, options={"require": ["exp", "sub"]})


async def authenticate(token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="token"))]) -> Caller:
    try:
        claims = decode(token)
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials", headers={"WWW-Authenticate": "Bearer"})
    return Caller(id=claims["sub"], is_administrator=claims.get("role") == "admin")


async def echo(websocket: WebSocket, client_id: str):
    """GET /ws/{client_id}"""
    try:
        decode(websocket.headers.get("authorization", "").removeprefix("Bearer "))
    except jwt.InvalidTokenError:
        raise WebSocketException(status.WS_1008_POLICY_VIOLATION)
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(f"Echo: {await websocket.receive_text()}")
    except WebSocketDisconnect:
        pass


SignedIn = Annotated[Caller, Depends(authenticate)]


def check_access(caller: Caller, id: int):
    if not caller.is_administrator and caller.id != id:
        raise HTTPException(403, "Forbidden")


def found(row):
    if row is None:
        raise HTTPException(404, "User not found")
    return dict(row)


def grant(row, password: str):
    """The answer of a sign-in and what is stored of it; row is id, password_hash, is_active, is_administrator, or None."""
    try:
        HASHER.verify(row["password_hash"] if row else "", password)
    except (VerificationError, ValueError):
        raise HTTPException(400, "invalid_grant")
    if not row["is_active"]:
        raise HTTPException(400, "invalid_grant")
    now = datetime.now(UTC)
    claims = {"sub": str(row["id"]), "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME}
    if row["is_administrator"]:
        claims["role"] = "admin"
    token = jwt.encode(claims, PRIVATE_KEY, algorithm="ES256")
    refresh = secrets.token_urlsafe(32)
    answer = {"access_token": token, "token_type": "bearer", "expires_in": int(LIFETIME.total_seconds()), "refresh_token": refresh}
    return answer, (hashlib.sha256(refresh.encode()).digest(), row["id"], now + REFRESH_LIFETIME)


def added(row):
    if row is None:
        raise HTTPException(400, "Email already registered")
    return dict(row)
