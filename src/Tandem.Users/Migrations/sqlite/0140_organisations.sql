-- Companies, clubs, teams: accounts that belong together, with a role each.
create table users_organisations (
    id         text primary key,
    slug       text not null unique,
    name       text not null,
    created_at text not null
) without rowid;

create table users_members (
    organisation_id text not null,
    account_id      integer not null,
    role            text not null,
    created_at      text not null,
    primary key (organisation_id, account_id)
) without rowid;
create index users_members_account on users_members (account_id);

-- Who has an e-mail may join, once it is confirmed; there is no secret in it.
create table users_invitations (
    id              text primary key,
    organisation_id text not null,
    email           text not null,
    role            text not null,
    created_at      text not null,
    expires_at      text not null,
    unique (organisation_id, email)
) without rowid;
create index users_invitations_email on users_invitations (email);
create index users_invitations_expires on users_invitations (expires_at);
