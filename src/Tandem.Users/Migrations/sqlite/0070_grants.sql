-- What a client has asked for before its person is sent here (RFC 9126), known by the digest of its request_uri. From the first page on it belongs to the browser that was shown it.
create table users_pushed_requests (
    digest         text primary key,
    client_id      text not null,
    request        text not null,
    browser_digest text,
    expires_at     text not null
) without rowid;
create index users_pushed_requests_expires on users_pushed_requests (expires_at);

-- Devices that wait for a person to allow them elsewhere (RFC 8628). Of both codes there are only digests.
create table users_device_codes (
    digest      text primary key,
    user_digest text not null unique,
    client_id   text not null,
    scopes      text not null,
    account_id  integer,
    browser_id  text,
    is_denied   integer not null,
    poll_seconds integer not null,
    polled_at   text not null,
    expires_at  text not null
) without rowid;
create index users_device_codes_expires on users_device_codes (expires_at);

alter table users_clients add column require_par integer not null default 0;
alter table users_clients add column backchannel_logout_uri text;

-- A session that was opened with a token of another one (RFC 8693) ends with it.
alter table users_sessions add column parent_id text;
alter table users_sessions add column is_parent integer not null default 0;
create index users_sessions_parent on users_sessions (parent_id) where parent_id is not null;
