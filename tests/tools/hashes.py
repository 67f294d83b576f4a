"""Prints what Django, passlib and Python's own scrypt make of a password, as JSON by name. Costs are low: the tests make many."""
import base64
import hashlib
import json
import os
import sys

from django.conf import settings

settings.configure(PASSWORD_HASHERS=["django.contrib.auth.hashers." + name for name in (
    "PBKDF2PasswordHasher", "PBKDF2SHA1PasswordHasher", "Argon2PasswordHasher", "BCryptSHA256PasswordHasher", "BCryptPasswordHasher",
    "SHA1PasswordHasher", "MD5PasswordHasher", "UnsaltedSHA1PasswordHasher", "UnsaltedMD5PasswordHasher")])

from django.contrib.auth import hashers  # noqa: E402 (after its settings)
from passlib import hash as passlib  # noqa: E402

password = os.fsencode(sys.argv[1]).decode()
made = {}

hashers.PBKDF2PasswordHasher.iterations = 1000
hashers.PBKDF2SHA1PasswordHasher.iterations = 1000
hashers.BCryptSHA256PasswordHasher.rounds = hashers.BCryptPasswordHasher.rounds = 4
hashers.Argon2PasswordHasher.memory_cost = 1024
for hasher in ("pbkdf2_sha256", "pbkdf2_sha1", "argon2", "bcrypt_sha256", "bcrypt", "sha1", "md5", "unsalted_sha1", "unsalted_md5"):
    made["django " + hasher] = hashers.make_password(password, hasher=hasher)

for name, settings in {
    "pbkdf2_sha1": {"rounds": 1000}, "pbkdf2_sha256": {"rounds": 1000}, "pbkdf2_sha512": {"rounds": 1000},
    "scrypt": {"rounds": 4}, "argon2": {"rounds": 2, "memory_cost": 512, "parallelism": 2}, "bcrypt": {"rounds": 4},
    "sha256_crypt": {"rounds": 1500}, "sha512_crypt": {"rounds": 1500}, "md5_crypt": {}, "apr_md5_crypt": {}, "phpass": {"rounds": 8},
    "ldap_sha1": {}, "ldap_md5": {}, "ldap_salted_sha1": {}, "ldap_salted_md5": {}, "ldap_salted_sha256": {}, "ldap_salted_sha512": {}, "hex_md5": {},
}.items():
    scheme = getattr(passlib, name)
    made["passlib " + name] = (scheme.using(**settings) if settings else scheme).hash(password)
made["passlib phpass $H$"] = passlib.phpass.using(rounds=8, ident="H").hash(password)

# As django.contrib.auth.hashers.ScryptPasswordHasher (4.0 on) and werkzeug.security (2.3 on) write it: both call this function.
key = hashlib.scrypt(password.encode(), salt=b"seasalt", n=256, r=8, p=2, dklen=64)
made["django scrypt"] = "scrypt$256$seasalt$8$2$" + base64.b64encode(key).decode()
made["werkzeug scrypt"] = "scrypt:256:8:2$seasalt$" + key.hex()
made["werkzeug pbkdf2"] = "pbkdf2:sha256:1000$seasalt$" + hashlib.pbkdf2_hmac("sha256", password.encode(), b"seasalt", 1000).hex()

json.dump(made, sys.stdout, indent=1)
