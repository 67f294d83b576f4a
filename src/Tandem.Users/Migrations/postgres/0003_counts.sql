-- How many accounts there are, kept by triggers and so exact in every snapshot: counting them for each page of the list would read them all. In parts,
-- by session: whoever adds or removes an account hardly ever waits for anybody else who does.
create table users_counts (
    part     bigint primary key,
    accounts bigint not null
) with (fillfactor = 50);
insert into users_counts (part, accounts) select part, 0 from generate_series(1, 31) as part;
insert into users_counts (part, accounts) select 0, count(*) from users_accounts;

-- Without the setting so small a table is read whole, and to serialisable transactions each change of a part is then in the way of all others.
create function users_count() returns trigger language plpgsql set enable_seqscan = off as $$
declare
    touched_rows bigint := (select count(*) from touched);
begin
    if touched_rows > 0 then
        update users_counts set accounts = accounts + case tg_op when 'INSERT' then touched_rows else -touched_rows end where part = pg_backend_pid() % 32;
    end if;
    return null;
end
$$;
create trigger users_accounts_added after insert on users_accounts referencing new table as touched for each statement execute function users_count();
create trigger users_accounts_removed after delete on users_accounts referencing old table as touched for each statement execute function users_count();
