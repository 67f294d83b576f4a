-- What the processes on one database know and nobody else does; each is made by whoever needs it first.
create table core_secrets (
    purpose    text collate "C" primary key,
    secret     bytea not null,
    created_at timestamptz not null
);
