-- Sign-ups per day (UTC), kept by a consumer of users.user-registered.
create table reports_signups (
    day   text primary key,
    count integer not null
) without rowid;
