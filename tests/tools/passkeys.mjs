// Says of each ceremony of passkeys whether @simplewebauthn/server takes it.
//   node passkeys.mjs < {"origin", "domain", "ceremonies": [{"kind": "create"|"get", "challenge", "response", "credential": {"id", "publicKey", "counter"}}]}
// Prints, in the same order, null for one that it takes and its reason for one that it refuses.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// Where ./test installs them.
const require = createRequire(new URL("../../artifacts/tools/", import.meta.url));
const { verifyAuthenticationResponse, verifyRegistrationResponse } = await import(pathToFileURL(require.resolve("@simplewebauthn/server")));
const { origin, domain, ceremonies } = JSON.parse(readFileSync(0, "utf8"));
// What ASP.NET Core offers to browsers.
const supportedAlgorithmIDs = [-7, -37, -35, -38, -39, -257, -36, -258, -259];

async function check({ kind, challenge, response, credential }) {
  const asked = { response, expectedChallenge: challenge, expectedOrigin: origin, expectedRPID: domain, requireUserVerification: true };
  if (kind === "create") return (await verifyRegistrationResponse({ ...asked, supportedAlgorithmIDs })).verified;
  // The library leaves it to its user to find the credential.
  if (response.id !== credential.id) throw new Error("no such credential");
  const publicKey = new Uint8Array(Buffer.from(credential.publicKey, "base64url"));
  return (await verifyAuthenticationResponse({ ...asked, credential: { ...credential, publicKey } })).verified;
}

const said = [];
for (const ceremony of ceremonies) {
  try {
    said.push((await check(ceremony)) ? null : "not verified");
  } catch (error) {
    said.push(String(error?.message ?? error) || "refused");
  }
}
process.stdout.write(JSON.stringify(said));
