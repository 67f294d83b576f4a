-- What a directory (SCIM) says of an account beside what the account is itself. The row and its e-mails go with the account.
create table users_directory (
    account_id  integer primary key,
    external_id text,
    formatted   text,
    given_name  text,
    family_name text
);
create index users_directory_external on users_directory (external_id) where external_id is not null;
create table users_directory_emails (
    account_id integer not null,
    position   integer not null,
    value      text not null,
    type       text,
    is_primary integer not null,
    primary key (account_id, position)
) without rowid;
create index users_directory_emails_value on users_directory_emails (value);

create table users_groups (
    id          text primary key,
    -- The name in lower case, so this is unique whatever the case.
    name_key    text not null,
    name        text not null,
    external_id text,
    created_at  text not null,
    changed_at  text not null
) without rowid;
create unique index users_groups_name on users_groups (name_key);
create index users_groups_external on users_groups (external_id) where external_id is not null;
create table users_group_members (
    group_id   text not null,
    account_id integer not null,
    primary key (group_id, account_id)
) without rowid;
create index users_group_members_account on users_group_members (account_id);

-- When the account was changed last; null: never since it was made. Kept by a trigger, whichever way the change comes.
alter table users_accounts add column changed_at text;
create trigger users_accounts_changed after update of email, name, is_active on users_accounts
    when old.email <> new.email or old.name <> new.name or old.is_active <> new.is_active begin
    update users_accounts set changed_at = strftime('%Y-%m-%d %H:%M:%f', 'now') || '000' where id = new.id;
end;
