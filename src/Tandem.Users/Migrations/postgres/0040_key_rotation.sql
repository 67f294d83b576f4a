-- Keys take turns: each says from when on it makes tokens, and retired_at is the moment when the one behind it begins, which may lie ahead.
alter table users_signing_keys add column signs_from timestamptz;
update users_signing_keys set signs_from = created_at;
alter table users_signing_keys alter column signs_from set not null;
