-- How and when the person of a session has shown who he is; null in sessions from before this was kept: when they were opened.
alter table users_sessions add column methods text collate "C";
alter table users_sessions add column authenticated_at timestamptz;

-- The secret of an authenticator app, sealed with the named key; and the codes for the day that the app is lost, as SHA-256 in hexadecimal.
create table users_totp (
    account_id   bigint primary key,
    key_id       text collate "C" not null,
    secret       bytea not null,
    last_step    bigint not null,
    created_at   timestamptz not null,
    confirmed_at timestamptz
);
create table users_recovery_codes (
    account_id bigint not null,
    digest     text collate "C" not null,
    primary key (account_id, digest)
);
