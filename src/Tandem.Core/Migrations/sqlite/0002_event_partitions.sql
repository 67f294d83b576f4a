-- A log may have partitions, and an event that is set aside carries what it takes to try again: no log has to keep it for that.
create table events_positions_new (
    consumer  text not null,
    partition integer not null,
    position  integer not null,
    sequence  integer not null,
    primary key (consumer, partition)
) without rowid;
insert into events_positions_new select consumer, 0, position, position from events_positions;
drop table events_positions;
alter table events_positions_new rename to events_positions;

create table events_set_aside_new (
    consumer        text not null,
    partition       integer not null,
    position        integer not null,
    event_id        text not null,
    name            text not null,
    key             text not null,
    payload         text not null,
    occurred_at     text not null,
    trace_parent    text,
    state           text not null check (state in ('waiting', 'retrying', 'parked')),
    attempts        integer not null,
    error           text,
    next_attempt_at text not null,
    primary key (consumer, partition, position)
) without rowid;
insert into events_set_aside_new
    select s.consumer, 0, s.position, l.id, l.name, s.key, l.payload, l.occurred_at, l.trace_parent, s.state, s.attempts, s.error, s.next_attempt_at
    from events_set_aside s join events_log l on l.position = s.position;
drop table events_set_aside;
alter table events_set_aside_new rename to events_set_aside;
create index events_set_aside_key on events_set_aside (consumer, key, partition, position);
create unique index events_set_aside_event on events_set_aside (consumer, event_id);
