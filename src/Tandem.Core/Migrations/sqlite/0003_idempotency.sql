-- What was done under a client's Idempotency-Key: a repetition is answered from here.
create table core_idempotency (
    scope       text not null,
    key         text not null,
    fingerprint text not null,
    result      text,
    expires_at  text not null,
    primary key (scope, key)
) without rowid;
create index core_idempotency_expiry on core_idempotency (expires_at);
