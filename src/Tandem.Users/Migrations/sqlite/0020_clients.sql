-- Programs that people sign in to with their account here, and programs that act for themselves. Lists are separated by blanks.
create table users_clients (
    id                        text primary key,
    name                      text not null,
    secret_hash               text,
    redirect_uris             text not null,
    post_logout_redirect_uris text not null,
    grant_types               text not null,
    scopes                    text not null,
    is_trusted                integer not null,
    created_at                text not null
) without rowid;

-- What a person has allowed a client, so that it is asked once.
create table users_consents (
    account_id integer not null,
    client_id  text not null,
    scopes     text not null,
    given_at   text not null,
    primary key (account_id, client_id)
) without rowid;
create index users_consents_client on users_consents (client_id);

-- A browser's session is known by the digest of its cookie; a client's says whose it is and which browser it was opened from.
alter table users_sessions add column client_id text;
alter table users_sessions add column browser_id text;
alter table users_sessions add column cookie_digest text;
create unique index users_sessions_cookie on users_sessions (cookie_digest) where cookie_digest is not null;
create index users_sessions_browser on users_sessions (browser_id) where browser_id is not null;
create index users_sessions_client on users_sessions (client_id) where client_id is not null;
