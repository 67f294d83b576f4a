-- What a client's ID tokens are signed with (OpenID Connect Dynamic Client Registration 1.0, 2).
alter table users_clients add column id_token_signed_response_alg text collate "C" not null default 'ES256';
