-- The family of the client that a session was opened by.
alter table users_sessions add column user_agent text collate "C";
