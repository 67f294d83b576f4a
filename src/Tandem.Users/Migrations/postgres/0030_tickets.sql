-- What somebody has asked for and has to show something for that only the right person has: the link or the code of a mail, the second step of a sign-in.
-- An e-mail that nobody has gets a row like any other; its account stays null. Of links, handles and codes there is SHA-256 in hexadecimal.
create table users_tickets (
    id            uuid primary key,
    purpose       text collate "C" not null check (purpose in ('reset', 'verify', 'change', 'code', 'second-step')),
    account_id    bigint,
    email         text collate "C",
    address       text collate "C",
    user_agent    text collate "C",
    trace_id      text collate "C",
    handle_digest text collate "C",
    link_digest   text collate "C",
    code_digest   text collate "C",
    methods       text collate "C",
    attempts      bigint not null default 0,
    created_at    timestamptz not null,
    expires_at    timestamptz not null
);
create unique index users_tickets_handle on users_tickets (handle_digest) where handle_digest is not null;
create unique index users_tickets_link on users_tickets (link_digest) where link_digest is not null;
create index users_tickets_account on users_tickets (account_id);
create index users_tickets_expires on users_tickets (expires_at);
