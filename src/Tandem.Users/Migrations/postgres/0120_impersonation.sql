-- The administrator who has the session, as the account that it is of; null: the person has.
alter table users_sessions add column impersonator_id bigint;
