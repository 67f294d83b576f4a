-- What people have asked for of their data, until it expires: an export is ready when it has a length. The id is that of its job.
create table users_exports (
    id         uuid primary key,
    account_id bigint not null,
    length     bigint,
    made_at    timestamptz not null,
    expires_at timestamptz not null
);
create index users_exports_account on users_exports (account_id);
create index users_exports_expires on users_exports (expires_at);

create table users_export_parts (
    export_id uuid not null,
    number    integer not null,
    bytes     bytea not null,
    primary key (export_id, number)
);
