-- An import that keeps ids says here which was the highest, so that none of them is given out again. The lock lets nobody draw a number meanwhile:
-- setting one below it would give it out twice.
create view users_highest_id as select max(id) as id from users_accounts;
create function users_raise_id() returns trigger language plpgsql as $$
declare
    numbers regclass := pg_get_serial_sequence('users_accounts', 'id');
begin
    lock table users_accounts in share row exclusive mode;
    if new.id > coalesce(pg_sequence_last_value(numbers), 0) then
        perform setval(numbers, new.id);
    end if;
    return new;
end
$$;
create trigger users_highest_id_raised instead of insert on users_highest_id for each row execute function users_raise_id();
