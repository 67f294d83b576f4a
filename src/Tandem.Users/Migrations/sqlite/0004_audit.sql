-- What happened to accounts, sessions and keys: docs/decisions/0016-audit.md. A change leaves its row in the first table, within its own transaction;
-- a moment later the row moves to the second, with a number and a hash that chain it to the one before.
create table users_audit_pending (
    number        integer primary key autoincrement,
    occurred_at   text not null,
    event         text not null,
    actor         text not null,
    actor_id      integer,
    credential_id text,
    subject_id    integer,
    object_id     text,
    network       text,
    user_agent    text,
    reason        text,
    trace_id      text,
    times         integer not null
);

create table users_audit (
    number        integer primary key,
    occurred_at   text not null,
    event         text not null,
    actor         text not null,
    actor_id      integer,
    credential_id text,
    subject_id    integer,
    object_id     text,
    network       text,
    user_agent    text,
    reason        text,
    trace_id      text,
    times         integer not null,
    hash          text not null
);
create index users_audit_subject on users_audit (subject_id, number);
create index users_audit_actor on users_audit (actor_id, number);
create index users_audit_event on users_audit (event, number);
create index users_audit_time on users_audit (occurred_at);

-- One row: the end of the chain. Whoever adds to it updates this first.
create table users_audit_head (
    id     integer primary key check (id = 1),
    number integer not null,
    hash   text not null
);

-- Against accidents; against whoever may change the schema there is the chain. Rows are deleted by a restore that takes the place of what is there.
create trigger users_audit_not_updated before update on users_audit begin
    select raise(abort, 'users_audit is append-only');
end;
