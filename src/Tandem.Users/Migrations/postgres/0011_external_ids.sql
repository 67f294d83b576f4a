-- What an account was called where it was imported from.
alter table users_accounts add column external_source text collate "C";
alter table users_accounts add column external_id text collate "C";
create unique index users_accounts_external on users_accounts (external_source, external_id) where external_id is not null;
