-- Of a client that registered itself: the digest of the token that it looks after itself with.
alter table users_clients add column registration_digest text;
create index users_clients_own on users_clients (id) where registration_digest is not null;
