-- What people have asked for of their data, until it expires: an export is ready when it has a length. The id is that of its job.
create table users_exports (
    id         text primary key,
    account_id integer not null,
    length     integer,
    made_at    text not null,
    expires_at text not null
) without rowid;
create index users_exports_account on users_exports (account_id);
create index users_exports_expires on users_exports (expires_at);

create table users_export_parts (
    export_id text not null,
    number    integer not null,
    bytes     blob not null,
    primary key (export_id, number)
);
