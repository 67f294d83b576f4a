-- What was done under a client's Idempotency-Key: a repetition is answered from here.
create table core_idempotency (
    scope       text collate "C" not null,
    key         text collate "C" not null,
    fingerprint text collate "C" not null,
    result      text collate "C",
    expires_at  timestamptz not null,
    primary key (scope, key)
);
create index core_idempotency_expiry on core_idempotency (expires_at);
