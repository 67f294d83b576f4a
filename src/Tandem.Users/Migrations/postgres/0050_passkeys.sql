-- Passkeys: the public halves of keys that are in people's devices and password managers. The handle stands for the account there and says nothing about it; all passkeys of an account have the same.
create table users_passkeys (
    id                 uuid primary key,
    account_id         bigint not null,
    user_handle        text collate "C" not null,
    credential_id      bytea not null,
    public_key         bytea not null,
    sign_count         bigint not null,
    transports         text collate "C",
    is_backup_eligible boolean not null,
    is_backed_up       boolean not null,
    name               text collate "C" not null,
    created_at         timestamptz not null,
    last_used_at       timestamptz
);
create unique index users_passkeys_credential on users_passkeys (credential_id);
create index users_passkeys_account on users_passkeys (account_id);

-- Challenges that were answered, as SHA-256 in hexadecimal, until they would have expired: none is answered twice.
create table users_passkey_answers (
    digest     text collate "C" primary key,
    expires_at timestamptz not null
);
create index users_passkey_answers_expires on users_passkey_answers (expires_at);
