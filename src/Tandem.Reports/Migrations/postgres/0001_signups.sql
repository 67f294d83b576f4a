-- Sign-ups per day (UTC), kept by a consumer of users.user-registered.
create table reports_signups (
    day   text collate "C" primary key,
    count bigint not null
);
