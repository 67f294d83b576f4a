-- How many accounts there are in each block of ids, by kind: 1 for active, 2 for an administrator, 4 for a confirmed e-mail, added up. Three sizes of blocks, 64 of one
-- in one of the next, so that the account behind any number of others is found, and what a list has in all is counted, by reading a few thousand small rows
-- instead of all accounts. Kept by triggers and so exact in every snapshot. In parts, by session: whoever adds or removes an account hardly ever waits for anybody else who does.
drop trigger users_accounts_added on users_accounts;
drop trigger users_accounts_removed on users_accounts;
drop function users_count();
drop table users_counts;
create table users_blocks (
    level    bigint not null,
    block    bigint not null,
    kind     bigint not null,
    part     bigint not null,
    accounts bigint not null,
    primary key (level, block, kind, part)
) with (fillfactor = 50);
insert into users_blocks (level, block, kind, part, accounts)
    select level, id >> shift, a.is_active::int + 2 * a.is_administrator::int + 4 * (a.email_verified_at is not null)::int, 0, count(*)
    from (values (0, 10), (1, 16), (2, 22)) as sizes (level, shift) cross join users_accounts a group by 1, 2, 3;

-- E-mail and name as they are searched: in lower case, the name without accents. Written a moment behind the account, many at once; a search reads the accounts that are
-- in users_unread as they are, and so misses none.
create table users_unread (
    id      bigint primary key,
    changes bigint not null
);
insert into users_unread (id, changes) select id, 1 from users_accounts;
create table users_texts (
    id    bigint primary key,
    email text collate "C" not null,
    name  text collate "C" not null
);
create index users_texts_name on users_texts (name);
-- The owner of a database may add the extension since PostgreSQL 13, where the server has it; without it a search for what stands somewhere in a text is slower, and finds the same.
do $$
begin
    create extension if not exists pg_trgm;
    create index users_texts_trigrams on users_texts using gin (email gin_trgm_ops, name gin_trgm_ops);
exception when insufficient_privilege or undefined_file or feature_not_supported or undefined_object then
    raise notice 'pg_trgm is not to be had: %', sqlerrm;
end
$$;
create view users_search_index as select count(*) as trigrams from pg_indexes where schemaname = current_schema() and indexname = 'users_texts_trigrams';

-- Only inserted into, and never read: to serialisable transactions a sign-up is then in the way of no other. Always in the order of the key, so that two wait for each other but never
-- each for the other.
create function users_count(ids bigint[], kinds bigint[], step bigint) returns void language sql as $$
    insert into users_blocks as b (level, block, kind, part, accounts)
    select level, id >> shift, kind, pg_backend_pid() % 32, step * count(*)
    from (values (0, 10), (1, 16), (2, 22)) as sizes (level, shift) cross join unnest(ids, kinds) as t (id, kind) group by 1, 2, 3 order by 1, 2, 3
    on conflict (level, block, kind, part) do update set accounts = b.accounts + excluded.accounts
$$;
create function users_unread(ids bigint[]) returns void language sql as $$
    insert into users_unread as u (id, changes) select id, 1 from unnest(ids) as t (id) order by id on conflict (id) do update set changes = u.changes + 1
$$;
create function users_accounts_touched() returns trigger language plpgsql as $$
declare
    ids bigint[];
    kinds bigint[];
begin
    select array_agg(t.id), array_agg(t.is_active::int + 2 * t.is_administrator::int + 4 * (t.email_verified_at is not null)::int) into ids, kinds from touched t;
    if ids is not null then
        perform users_count(ids, kinds, case tg_op when 'INSERT' then 1 else -1 end);
        perform users_unread(ids);
    end if;
    return null;
end
$$;
create function users_accounts_altered() returns trigger language plpgsql as $$
begin
    if (old.is_active, old.is_administrator, old.email_verified_at is null) is distinct from (new.is_active, new.is_administrator, new.email_verified_at is null) then
        perform users_count(array[old.id], array[old.is_active::int + 2 * old.is_administrator::int + 4 * (old.email_verified_at is not null)::int]::bigint[], -1);
        perform users_count(array[new.id], array[new.is_active::int + 2 * new.is_administrator::int + 4 * (new.email_verified_at is not null)::int]::bigint[], 1);
    end if;
    if (old.email, old.name) is distinct from (new.email, new.name) then
        perform users_unread(array[new.id]);
    end if;
    return null;
end
$$;
create trigger users_accounts_added after insert on users_accounts referencing new table as touched for each statement execute function users_accounts_touched();
create trigger users_accounts_removed after delete on users_accounts referencing old table as touched for each statement execute function users_accounts_touched();
create trigger users_accounts_altered after update of is_active, is_administrator, email_verified_at, email, name on users_accounts for each row
    when ((old.is_active, old.is_administrator, old.email_verified_at is null, old.email, old.name)
        is distinct from (new.is_active, new.is_administrator, new.email_verified_at is null, new.email, new.name))
    execute function users_accounts_altered();

create index users_accounts_created on users_accounts (created_at, id);
-- Of these there are few, and a list of few among many must not look at all.
create index users_accounts_inactive on users_accounts (id) where not is_active;
create index users_accounts_verified on users_accounts (id) where email_verified_at is not null;
