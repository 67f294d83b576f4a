-- The links that starting servers have printed while there was no administrator, as SHA-256 in hexadecimal: any process answers to each of them.
create table users_setup_links (
    digest     text collate "C" primary key,
    created_at timestamptz not null
);
