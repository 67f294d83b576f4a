-- Logins at other providers of OpenID Connect that open an account here: a provider (its issuer) and whoever that says it is.
create table users_upstream_logins (
    id           text primary key,
    account_id   integer not null,
    issuer       text not null,
    subject      text not null,
    email        text,
    created_at   text not null,
    last_used_at text
) without rowid;
create unique index users_upstream_logins_subject on users_upstream_logins (issuer, subject);
create index users_upstream_logins_account on users_upstream_logins (account_id);

-- Browsers that were sent to a provider and have not come back yet. state is kept as SHA-256 in hexadecimal, and so is what the browser's cookie shows. With an account a login is added to it.
create table users_upstream_requests (
    digest         text primary key,
    provider       text not null,
    browser_digest text not null,
    nonce          text not null,
    verifier       text not null,
    return_to      text,
    account_id     integer,
    session_id     text,
    expires_at     text not null
) without rowid;
create index users_upstream_requests_expires on users_upstream_requests (expires_at);
create index users_upstream_requests_account on users_upstream_requests (account_id);
