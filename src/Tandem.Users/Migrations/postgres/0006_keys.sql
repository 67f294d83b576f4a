-- An API key is a session whose token does not change: SHA-256 of its secret in hexadecimal. So it ends as sessions do, and is seen to by the same code.
alter table users_sessions add column key_digest text collate "C";
alter table users_sessions add column key_name text collate "C";
alter table users_sessions add column key_first_used_at timestamptz;
