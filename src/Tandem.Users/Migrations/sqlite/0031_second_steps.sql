-- How and when the person of a session has shown who he is; null in sessions from before this was kept: when they were opened.
alter table users_sessions add column methods text;
alter table users_sessions add column authenticated_at text;

-- The secret of an authenticator app, sealed with the named key; and the codes for the day that the app is lost, as SHA-256 in hexadecimal.
create table users_totp (
    account_id   integer primary key,
    key_id       text not null,
    secret       blob not null,
    last_step    integer not null,
    created_at   text not null,
    confirmed_at text
);
create table users_recovery_codes (
    account_id integer not null,
    digest     text not null,
    primary key (account_id, digest)
) without rowid;
