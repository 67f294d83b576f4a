-- Files that several processes share. The pieces of one go under an id of their own; its row here is written last and makes them a file.
create table core_files (
    digest     text collate "C" primary key,
    length     bigint not null,
    content    uuid not null,
    created_at timestamptz not null
);
create unique index core_files_content on core_files (content);

create table core_file_chunks (
    content uuid not null,
    number  bigint not null,
    bytes   bytea not null,
    primary key (content, number)
);
-- A model or a report is compressed already, or read too often to be.
alter table core_file_chunks alter column bytes set storage external;
