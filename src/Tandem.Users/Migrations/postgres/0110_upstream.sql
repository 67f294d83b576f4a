-- Logins at other providers of OpenID Connect that open an account here: a provider (its issuer) and whoever that says it is.
create table users_upstream_logins (
    id           uuid primary key,
    account_id   bigint not null,
    issuer       text collate "C" not null,
    subject      text collate "C" not null,
    email        text collate "C",
    created_at   timestamptz not null,
    last_used_at timestamptz
);
create unique index users_upstream_logins_subject on users_upstream_logins (issuer, subject);
create index users_upstream_logins_account on users_upstream_logins (account_id);

-- Browsers that were sent to a provider and have not come back yet. state is kept as SHA-256 in hexadecimal, and so is what the browser's cookie shows. With an account a login is added to it.
create table users_upstream_requests (
    digest         text collate "C" primary key,
    provider       text collate "C" not null,
    browser_digest text collate "C" not null,
    nonce          text collate "C" not null,
    verifier       text collate "C" not null,
    return_to      text collate "C",
    account_id     bigint,
    session_id     uuid,
    expires_at     timestamptz not null
);
create index users_upstream_requests_expires on users_upstream_requests (expires_at);
create index users_upstream_requests_account on users_upstream_requests (account_id);
