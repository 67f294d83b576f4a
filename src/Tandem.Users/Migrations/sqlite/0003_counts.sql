-- How many accounts there are, kept by triggers: counting them for each page of the list would read them all. One part does for one writer.
create table users_counts (
    part     integer primary key,
    accounts integer not null
);
insert into users_counts (part, accounts) select 0, count(*) from users_accounts;

create trigger users_accounts_added after insert on users_accounts begin
    update users_counts set accounts = accounts + 1 where part = 0;
end;
create trigger users_accounts_removed after delete on users_accounts begin
    update users_counts set accounts = accounts - 1 where part = 0;
end;
