-- What a client's request wants of a sign-in by a provider: one that is not from before this moment, and (needs_auth_time) the provider's word for that.
alter table users_upstream_requests add column fresh_since text;
alter table users_upstream_requests add column needs_auth_time integer not null default 0;
