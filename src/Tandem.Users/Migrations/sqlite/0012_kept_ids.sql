-- An import that keeps ids says here which was the highest, so that none of them is given out again. SQLite sees to that by itself.
create view users_highest_id as select max(id) as id from users_accounts;
create trigger users_highest_id_raised instead of insert on users_highest_id begin
    select new.id;
end;
