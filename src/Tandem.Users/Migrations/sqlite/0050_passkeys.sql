-- Passkeys: the public halves of keys that are in people's devices and password managers. The handle stands for the account there and says nothing about it; all passkeys of an account have the same.
create table users_passkeys (
    id                 text primary key,
    account_id         integer not null,
    user_handle        text not null,
    credential_id      blob not null,
    public_key         blob not null,
    sign_count         integer not null,
    transports         text,
    is_backup_eligible integer not null,
    is_backed_up       integer not null,
    name               text not null,
    created_at         text not null,
    last_used_at       text
) without rowid;
create unique index users_passkeys_credential on users_passkeys (credential_id);
create index users_passkeys_account on users_passkeys (account_id);

-- Challenges that were answered, as SHA-256 in hexadecimal, until they would have expired: none is answered twice.
create table users_passkey_answers (
    digest     text primary key,
    expires_at text not null
) without rowid;
create index users_passkey_answers_expires on users_passkey_answers (expires_at);
