create table users_accounts (
    id               integer primary key autoincrement,
    email            text not null,
    name             text not null,
    password_hash    text not null,
    is_administrator integer not null default 0,
    is_active        integer not null default 1,
    created_at       text not null,
    last_sign_in_at  text
);
-- Stored in lower case, so this is unique whatever the case.
create unique index users_accounts_email on users_accounts (email);
create index users_accounts_administrators on users_accounts (id) where is_administrator;

-- A session is a family of refresh tokens. Its row outlives the account: other processes learn here that its tokens are worth nothing.
create table users_sessions (
    id           text primary key,
    account_id   integer not null,
    scopes       text,
    address      text,
    generation   integer not null default 0,
    rotated_at   text not null,
    created_at   text not null,
    last_used_at text not null,
    expires_at   text not null,
    access_until text not null,
    ended_at     text,
    end_reason   text
) without rowid;
create index users_sessions_account on users_sessions (account_id, address);
create index users_sessions_ended on users_sessions (ended_at) where ended_at is not null;
create index users_sessions_expires on users_sessions (expires_at);

create table users_signing_keys (
    id         text primary key,
    purpose    text not null check (purpose in ('access', 'refresh')),
    secret     blob not null,
    created_at text not null,
    retired_at text
) without rowid;
-- However many processes start at once, one of them makes the key and the others find it.
create unique index users_signing_keys_current on users_signing_keys (purpose) where retired_at is null;
