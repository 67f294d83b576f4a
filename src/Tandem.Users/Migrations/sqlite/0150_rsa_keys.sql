-- A third kind of key: RSA, for the ID tokens of clients that want RS256.
create table users_signing_keys_kinds (
    id         text primary key,
    purpose    text not null check (purpose in ('access', 'refresh', 'identity')),
    secret     blob not null,
    created_at text not null,
    retired_at text,
    signs_from text not null
) without rowid;
insert into users_signing_keys_kinds (id, purpose, secret, created_at, retired_at, signs_from)
    select id, purpose, secret, created_at, retired_at, signs_from from users_signing_keys;
drop table users_signing_keys;
alter table users_signing_keys_kinds rename to users_signing_keys;
-- However many processes start, or rotate, at once: one of them makes the key and the others find it.
create unique index users_signing_keys_current on users_signing_keys (purpose) where retired_at is null;
