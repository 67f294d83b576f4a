-- A third kind of key: RSA, for the ID tokens of clients that want RS256.
alter table users_signing_keys drop constraint users_signing_keys_purpose_check;
alter table users_signing_keys add constraint users_signing_keys_purpose_check check (purpose in ('access', 'refresh', 'identity'));
