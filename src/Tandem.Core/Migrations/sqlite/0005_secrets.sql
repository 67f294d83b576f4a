-- What the processes on one database know and nobody else does; each is made by whoever needs it first.
create table core_secrets (
    purpose    text primary key,
    secret     blob not null,
    created_at text not null
) without rowid;
