-- How many accounts there are in each block of ids, by kind: 1 for active, 2 for an administrator, 4 for a confirmed e-mail, added up. Three sizes of blocks, 64 of one
-- in one of the next, so that the account behind any number of others is found, and what a list has in all is counted, by reading a few hundred small rows
-- instead of all accounts. Kept by triggers and so exact in every snapshot.
drop trigger users_accounts_added;
drop trigger users_accounts_removed;
drop table users_counts;
create table users_blocks (
    level    integer not null,
    block    integer not null,
    kind     integer not null,
    part     integer not null,
    accounts integer not null,
    primary key (level, block, kind, part)
) without rowid;
insert into users_blocks (level, block, kind, part, accounts)
    select level, id >> shift, is_active + 2 * is_administrator + 4 * (email_verified_at is not null), 0, count(*)
    from (select 0 as level, 10 as shift union all select 1, 16 union all select 2, 22) cross join users_accounts group by 1, 2, 3;

-- E-mail and name as they are searched: in lower case, the name without accents. Written a moment behind the account, many at once; a search reads the accounts that are
-- in users_unread as they are, and so misses none.
create table users_unread (
    id      integer primary key,
    changes integer not null
);
insert into users_unread (id, changes) select id, 1 from users_accounts;
create table users_texts (
    id    integer primary key,
    email text not null,
    name  text not null
);
create index users_texts_name on users_texts (name);
create virtual table users_trigrams using fts5 (email, name, content = 'users_texts', content_rowid = 'id', tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0);
create view users_search_index as select 1 as trigrams;
create trigger users_texts_added after insert on users_texts begin
    insert into users_trigrams (rowid, email, name) values (new.id, new.email, new.name);
end;
create trigger users_texts_removed after delete on users_texts begin
    insert into users_trigrams (users_trigrams, rowid, email, name) values ('delete', old.id, old.email, old.name);
end;
create trigger users_texts_changed after update on users_texts begin
    insert into users_trigrams (users_trigrams, rowid, email, name) values ('delete', old.id, old.email, old.name);
    insert into users_trigrams (rowid, email, name) values (new.id, new.email, new.name);
end;

create trigger users_accounts_added after insert on users_accounts begin
    insert into users_blocks (level, block, kind, part, accounts) values
        (0, new.id >> 10, new.is_active + 2 * new.is_administrator + 4 * (new.email_verified_at is not null), 0, 1),
        (1, new.id >> 16, new.is_active + 2 * new.is_administrator + 4 * (new.email_verified_at is not null), 0, 1),
        (2, new.id >> 22, new.is_active + 2 * new.is_administrator + 4 * (new.email_verified_at is not null), 0, 1)
        on conflict (level, block, kind, part) do update set accounts = accounts + excluded.accounts;
    insert into users_unread (id, changes) values (new.id, 1) on conflict (id) do update set changes = changes + 1;
end;
create trigger users_accounts_removed after delete on users_accounts begin
    insert into users_blocks (level, block, kind, part, accounts) values
        (0, old.id >> 10, old.is_active + 2 * old.is_administrator + 4 * (old.email_verified_at is not null), 0, -1),
        (1, old.id >> 16, old.is_active + 2 * old.is_administrator + 4 * (old.email_verified_at is not null), 0, -1),
        (2, old.id >> 22, old.is_active + 2 * old.is_administrator + 4 * (old.email_verified_at is not null), 0, -1)
        on conflict (level, block, kind, part) do update set accounts = accounts + excluded.accounts;
    insert into users_unread (id, changes) values (old.id, 1) on conflict (id) do update set changes = changes + 1;
end;
create trigger users_accounts_of_another_kind after update of is_active, is_administrator, email_verified_at on users_accounts
    when old.is_active <> new.is_active or old.is_administrator <> new.is_administrator or (old.email_verified_at is null) <> (new.email_verified_at is null) begin
    insert into users_blocks (level, block, kind, part, accounts) values
        (0, old.id >> 10, old.is_active + 2 * old.is_administrator + 4 * (old.email_verified_at is not null), 0, -1),
        (1, old.id >> 16, old.is_active + 2 * old.is_administrator + 4 * (old.email_verified_at is not null), 0, -1),
        (2, old.id >> 22, old.is_active + 2 * old.is_administrator + 4 * (old.email_verified_at is not null), 0, -1)
        on conflict (level, block, kind, part) do update set accounts = accounts + excluded.accounts;
    insert into users_blocks (level, block, kind, part, accounts) values
        (0, new.id >> 10, new.is_active + 2 * new.is_administrator + 4 * (new.email_verified_at is not null), 0, 1),
        (1, new.id >> 16, new.is_active + 2 * new.is_administrator + 4 * (new.email_verified_at is not null), 0, 1),
        (2, new.id >> 22, new.is_active + 2 * new.is_administrator + 4 * (new.email_verified_at is not null), 0, 1)
        on conflict (level, block, kind, part) do update set accounts = accounts + excluded.accounts;
end;
create trigger users_accounts_renamed after update of email, name on users_accounts when old.email <> new.email or old.name <> new.name begin
    insert into users_unread (id, changes) values (new.id, 1) on conflict (id) do update set changes = changes + 1;
end;

create index users_accounts_created on users_accounts (created_at, id);
-- Of these there are few, and a list of few among many must not look at all.
create index users_accounts_inactive on users_accounts (id) where not is_active;
create index users_accounts_verified on users_accounts (id) where email_verified_at is not null;
