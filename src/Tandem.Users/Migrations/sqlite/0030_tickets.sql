-- What somebody has asked for and has to show something for that only the right person has: the link or the code of a mail, the second step of a sign-in.
-- An e-mail that nobody has gets a row like any other; its account stays null. Of links, handles and codes there is SHA-256 in hexadecimal.
create table users_tickets (
    id            text primary key,
    purpose       text not null check (purpose in ('reset', 'verify', 'change', 'code', 'second-step')),
    account_id    integer,
    email         text,
    address       text,
    user_agent    text,
    trace_id      text,
    handle_digest text,
    link_digest   text,
    code_digest   text,
    methods       text,
    attempts      integer not null default 0,
    created_at    text not null,
    expires_at    text not null
) without rowid;
create unique index users_tickets_handle on users_tickets (handle_digest) where handle_digest is not null;
create unique index users_tickets_link on users_tickets (link_digest) where link_digest is not null;
create index users_tickets_account on users_tickets (account_id);
create index users_tickets_expires on users_tickets (expires_at);
