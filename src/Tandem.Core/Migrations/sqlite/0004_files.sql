-- Files that several processes share. The pieces of one go under an id of their own; its row here is written last and makes them a file.
create table core_files (
    digest     text primary key,
    length     integer not null,
    content    text not null,
    created_at text not null
) without rowid;
create unique index core_files_content on core_files (content);

create table core_file_chunks (
    content text not null,
    number  integer not null,
    bytes   blob not null,
    primary key (content, number)
);
