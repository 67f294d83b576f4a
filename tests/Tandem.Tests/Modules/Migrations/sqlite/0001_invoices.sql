create table invoices_invoices (
    id      integer primary key autoincrement,
    user_id integer not null,
    total   numeric not null,
    sent    integer not null default 0
);
create table invoices_accounts (
    user_id integer primary key
);
