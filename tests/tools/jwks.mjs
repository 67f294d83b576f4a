// Checks tokens as a resource server does that knows nothing but the address of the keys.
//   node jwks.mjs JWKS ISSUER AUDIENCE
// Reads lines of {"token", "now" (milliseconds)} and answers each with {"said": whose the token is, or why it is refused; "reads": how often the keys were fetched}.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// Where ./test installs them.
const require = createRequire(new URL("../../artifacts/tools/", import.meta.url));
const { createRemoteJWKSet, customFetch, jwtVerify } = await import(pathToFileURL(require.resolve("jose")));
const [, , address, issuer, audience] = process.argv;

let reads = 0;
const keys = createRemoteJWKSet(new URL(address), {
  [customFetch]: (...request) => {
    reads++;
    return fetch(...request);
  },
});
for await (const line of createInterface({ input: process.stdin })) {
  const { token, now } = JSON.parse(line);
  let said;
  try {
    said = (await jwtVerify(token, keys, { issuer, audience, algorithms: ["ES256"], currentDate: new Date(now) })).payload.sub;
  } catch (e) {
    said = e.code ?? String(e);
  }

  console.log(JSON.stringify({ said, reads }));
}
