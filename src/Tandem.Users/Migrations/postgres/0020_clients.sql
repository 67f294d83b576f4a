-- Programs that people sign in to with their account here, and programs that act for themselves. Lists are separated by blanks.
create table users_clients (
    id                        text collate "C" primary key,
    name                      text collate "C" not null,
    secret_hash               text collate "C",
    redirect_uris             text collate "C" not null,
    post_logout_redirect_uris text collate "C" not null,
    grant_types               text collate "C" not null,
    scopes                    text collate "C" not null,
    is_trusted                boolean not null,
    created_at                timestamptz not null
);

-- What a person has allowed a client, so that it is asked once.
create table users_consents (
    account_id bigint not null,
    client_id  text collate "C" not null,
    scopes     text collate "C" not null,
    given_at   timestamptz not null,
    primary key (account_id, client_id)
);
create index users_consents_client on users_consents (client_id);

-- A browser's session is known by the digest of its cookie; a client's says whose it is and which browser it was opened from.
alter table users_sessions add column client_id text collate "C";
alter table users_sessions add column browser_id uuid;
alter table users_sessions add column cookie_digest text collate "C";
create unique index users_sessions_cookie on users_sessions (cookie_digest) where cookie_digest is not null;
create index users_sessions_browser on users_sessions (browser_id) where browser_id is not null;
create index users_sessions_client on users_sessions (client_id) where client_id is not null;
