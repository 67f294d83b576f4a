create table core_heartbeat (beat integer not null);
insert into core_heartbeat (beat) values (0);

-- Outbox and log in one: a change writes its event here in its own transaction, and SQLite commits one at a time, so positions are in order.
create table events_log (
    position     integer primary key autoincrement,
    id           text not null,
    name         text not null,
    key          text not null,
    payload      text not null,
    occurred_at  text not null,
    trace_parent text
);
create index events_log_name on events_log (name, position);

create table events_positions (
    consumer text primary key,
    position integer not null
) without rowid;

create table events_set_aside (
    consumer        text not null,
    position        integer not null,
    key             text not null,
    state           text not null check (state in ('waiting', 'retrying', 'parked')),
    attempts        integer not null,
    error           text,
    next_attempt_at text not null,
    primary key (consumer, position)
) without rowid;
create index events_set_aside_key on events_set_aside (consumer, key, position);

create table jobs_queue (
    id           text primary key,
    kind         text not null,
    payload      text not null,
    state        text not null check (state in ('available', 'running', 'completed', 'discarded', 'cancelled')),
    priority     integer not null,
    run_at       text not null,
    attempt      integer not null default 0,
    max_attempts integer not null,
    fence        integer not null default 0,
    worker       text,
    lease_until  text,
    unique_key   text,
    account_id   integer,
    progress     real,
    message      text,
    error        text,
    trace_parent text,
    created_at   text not null,
    finished_at  text
) without rowid;
create index jobs_queue_next on jobs_queue (priority, run_at) where state = 'available';
create index jobs_queue_running on jobs_queue (lease_until) where state = 'running';
create unique index jobs_queue_unique on jobs_queue (kind, unique_key) where unique_key is not null and state in ('available', 'running');
