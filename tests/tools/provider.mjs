// The control: another OpenID Connect provider, for openid.mjs. What fails with both is wrong with the script, what fails with ours alone is wrong with ours.
//   node provider.mjs < {"client_id", "client_secret", "redirect_uri", "email", "port", "rotate"}
// Prints its issuer, and serves until it is killed. With "rotate", for load, every refresh gives another refresh token and nothing is forgotten: by itself it rotates seldom,
// and keeps the newest thousand records of all.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../../artifacts/tools/", import.meta.url));
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));
const as = JSON.parse(readFileSync(0, "utf8"));
const key = { ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }), alg: "ES256", use: "sig", kid: "control" };

const records = new Map();

class Endless {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  by(field, value) { return [...records].find(([key, record]) => key.startsWith(`${this.model}:`) && record[field] === value)?.[1]; }
  async upsert(id, record) { records.set(this.key(id), record); }
  async find(id) { return records.get(this.key(id)); }
  async findByUid(uid) { return this.by("uid", uid); }
  async findByUserCode(code) { return this.by("userCode", code); }
  async consume(id) { records.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { records.delete(this.key(id)); }
  async revokeByGrantId(grant) { for (const [key, record] of records) if (record.grantId === grant) records.delete(key); }
}

const server = createServer();
server.listen(as.port ?? 0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: as.client_id, client_secret: as.client_secret, redirect_uris: [as.redirect_uri], response_types: ["code"], id_token_signed_response_alg: "ES256",
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    }],
    jwks: { keys: [key] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    features: {
      devInteractions: { enabled: true }, deviceFlow: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true }, pushedAuthorizationRequests: { enabled: true },
      registration: { enabled: true }, registrationManagement: { enabled: true },
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, email: as.email, email_verified: true, name: "Ada" }) }),
    ...(as.rotate ? { rotateRefreshToken: true, adapter: Endless } : {}),
    // Otherwise it gives one only where the request asks for consent.
    issueRefreshToken: (_, client) => client.grantTypeAllowed("refresh_token"),
    cookies: { keys: ["control"] },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
