-- A log may have partitions, and an event that is set aside carries what it takes to try again: no log has to keep it for that.
create table events_positions (
    consumer  text collate "C" not null,
    partition bigint not null,
    position  bigint not null,
    sequence  bigint not null,
    primary key (consumer, partition)
);

create table events_set_aside (
    consumer        text collate "C" not null,
    partition       bigint not null,
    position        bigint not null,
    event_id        uuid not null,
    name            text collate "C" not null,
    key             text collate "C" not null,
    payload         text collate "C" not null,
    occurred_at     timestamptz not null,
    trace_parent    text collate "C",
    state           text collate "C" not null check (state in ('waiting', 'retrying', 'parked')),
    attempts        bigint not null,
    error           text collate "C",
    next_attempt_at timestamptz not null,
    primary key (consumer, partition, position)
);
create index events_set_aside_key on events_set_aside (consumer, key, partition, position);
create unique index events_set_aside_event on events_set_aside (consumer, event_id);
