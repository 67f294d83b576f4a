-- No unique key but the row's own: an effect that happens twice must be seen here.
create table ledger_effects (
    seq         integer primary key autoincrement,
    subject     text not null,
    number      integer not null,
    delivery_id text not null
);
create index ledger_effects_subject on ledger_effects (subject, number);
