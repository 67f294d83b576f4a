-- What a directory (SCIM) says of an account beside what the account is itself. The row and its e-mails go with the account.
create table users_directory (
    account_id  bigint primary key,
    external_id text collate "C",
    formatted   text collate "C",
    given_name  text collate "C",
    family_name text collate "C"
);
create index users_directory_external on users_directory (external_id) where external_id is not null;
create table users_directory_emails (
    account_id bigint not null,
    position   integer not null,
    value      text collate "C" not null,
    type       text collate "C",
    is_primary boolean not null,
    primary key (account_id, position)
);
create index users_directory_emails_value on users_directory_emails (value);

create table users_groups (
    id          uuid primary key,
    -- The name in lower case, so this is unique whatever the case.
    name_key    text collate "C" not null,
    name        text collate "C" not null,
    external_id text collate "C",
    created_at  timestamptz not null,
    changed_at  timestamptz not null
);
create unique index users_groups_name on users_groups (name_key);
create index users_groups_external on users_groups (external_id) where external_id is not null;
create table users_group_members (
    group_id   uuid not null,
    account_id bigint not null,
    primary key (group_id, account_id)
);
create index users_group_members_account on users_group_members (account_id);

-- When the account was changed last; null: never since it was made. Kept by a trigger, whichever way the change comes.
alter table users_accounts add column changed_at timestamptz;
create function users_note_change() returns trigger language plpgsql as $$
begin
    new.changed_at := clock_timestamp();
    return new;
end
$$;
create trigger users_accounts_changed before update of email, name, is_active on users_accounts for each row
    when (old.email <> new.email or old.name <> new.name or old.is_active <> new.is_active) execute function users_note_change();
