-- When the address was shown to be the person's own; null: not yet. An import brings it along.
alter table users_accounts add column email_verified_at timestamptz;
