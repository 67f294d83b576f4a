-- Companies, clubs, teams: accounts that belong together, with a role each.
create table users_organisations (
    id         uuid primary key,
    slug       text collate "C" not null unique,
    name       text not null,
    created_at timestamptz not null
);

create table users_members (
    organisation_id uuid not null,
    account_id      bigint not null,
    role            text not null,
    created_at      timestamptz not null,
    primary key (organisation_id, account_id)
);
create index users_members_account on users_members (account_id);

-- Who has an e-mail may join, once it is confirmed; there is no secret in it.
create table users_invitations (
    id              uuid primary key,
    organisation_id uuid not null,
    email           text not null,
    role            text not null,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    unique (organisation_id, email)
);
create index users_invitations_email on users_invitations (email);
create index users_invitations_expires on users_invitations (expires_at);
