// Signs in to a server, ours or the control (provider.mjs), as the clients that JavaScript programs use, with the forms sent by fetch, and checks what they get.
//   node openid.mjs openid-client|oauth4webapi|pushed|device|registered < {"issuer", "client_id", "client_secret", "redirect_uri", "email", "password"}
// Prints what /userinfo said; ends with another code than 0 when something is not as the client wants it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// Where ./test installs them.
const require = createRequire(new URL("../../artifacts/tools/", import.meta.url));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { createRemoteJWKSet, jwtVerify } = await load("jose");
const to = JSON.parse(readFileSync(0, "utf8"));
const scope = "openid profile email offline_access";

const cookies = new Map();
async function visit(url, form) {
  const answer = await fetch(url, {
    method: form ? "POST" : "GET",
    body: form && new URLSearchParams(form),
    redirect: "manual",
    headers: { accept: "text/html", cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
  });
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
    cookies.set(name, value);
  }
  return answer;
}

// What a person does in front of the pages: signs in, and allows. Our pages and those of the control have other names for the fields.
const filled = {
  email: () => ({ email: to.email, password: to.password, action: "sign-in" }),
  login: () => ({ login: to.email, password: to.password }),
  user_code: (code) => ({ user_code: code, action: "continue" }),
};
async function walk(at, isThere, code) {
  let answer = await visit(at);
  for (let pages = 0; pages < 12; pages++) {
    const location = answer.headers.get("location");
    if (answer.status === 302 || answer.status === 303) {
      at = new URL(location, at);
      if (isThere(at)) return at;
      answer = await visit(at);
      continue;
    }
    const html = await answer.text();
    assert.equal(answer.status, 200, html);
    if (isThere(at, html)) return at;
    const plain = (text) => text.replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
    const attribute = (tag, name) => plain(new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? "");
    const inputs = [...html.matchAll(/<input[^>]*>/g)].map(([tag]) => [attribute(tag, "name"), attribute(tag, "value"), attribute(tag, "type")]);
    const typed = inputs.find(([name, , type]) => name in filled && type !== "hidden")?.[0];
    const hidden = Object.fromEntries(inputs.filter(([name, , type]) => name && type === "hidden").map(([name, value]) => [name, value]));
    at = new URL(attribute(/<form[^>]*>/.exec(html)[0], "action"), at);
    answer = await visit(at, { ...hidden, ...(typed ? filled[typed](code) : { action: "allow", confirm: "yes" }) });
  }
  assert.fail(`${at} leads nowhere`);
}

const signIn = (url) => walk(url, (at) => at.href.startsWith(to.redirect_uri));

async function checkIdToken(token, jwks, nonce) {
  const { payload, protectedHeader } = await jwtVerify(token, createRemoteJWKSet(new URL(jwks)), { issuer: to.issuer, audience: to.client_id });
  assert.equal(protectedHeader.alg, "ES256");
  assert.equal(payload.nonce, nonce);
  return payload;
}

// The code flow of openid-client.
async function byCode(oidc, config) {
  const [verifier, state, nonce] = [oidc.randomPKCECodeVerifier(), oidc.randomState(), oidc.randomNonce()];
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: to.redirect_uri, scope, state, nonce, code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  });
  const tokens = await oidc.authorizationCodeGrant(config, await signIn(url), { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
  const { sub } = await checkIdToken(tokens.id_token, config.serverMetadata().jwks_uri, nonce);
  const user = await oidc.fetchUserInfo(config, tokens.access_token, sub);
  return { tokens, user };
}

const flows = {
  async "openid-client"() {
    const oidc = await load("openid-client");
    const config = await oidc.discovery(new URL(to.issuer), to.client_id, to.client_secret, undefined, { execute: [oidc.allowInsecureRequests] });
    const { tokens, user } = await byCode(oidc, config);
    const next = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    assert.equal((await oidc.tokenIntrospection(config, next.access_token)).active, true);
    await oidc.tokenRevocation(config, next.refresh_token);
    assert.equal((await oidc.tokenIntrospection(config, next.access_token)).active, false);
    await assert.rejects(oidc.refreshTokenGrant(config, next.refresh_token), { error: "invalid_grant" });
    return user;
  },

  async oauth4webapi() {
    const oauth = await load("oauth4webapi");
    const insecure = { [oauth.allowInsecureRequests]: true };
    const issuer = new URL(to.issuer);
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...insecure, algorithm: "oauth2" }));
    const [client, authentication] = [{ client_id: to.client_id }, oauth.ClientSecretBasic(to.client_secret)];
    const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
    const url = new URL(server.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: to.client_id, redirect_uri: to.redirect_uri, response_type: "code", scope, state, nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
    });
    const parameters = oauth.validateAuthResponse(server, client, await signIn(url), state);
    const tokens = await oauth.processAuthorizationCodeResponse(server, client,
      await oauth.authorizationCodeGrantRequest(server, client, authentication, parameters, to.redirect_uri, verifier, insecure), { expectedNonce: nonce, requireIdToken: true });
    const { sub } = await checkIdToken(tokens.id_token, server.jwks_uri, nonce);
    const user = await oauth.processUserInfoResponse(server, client, sub, await oauth.userInfoRequest(server, client, tokens.access_token, insecure));
    const next = await oauth.processRefreshTokenResponse(server, client, await oauth.refreshTokenGrantRequest(server, client, authentication, tokens.refresh_token, insecure));
    await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, next.refresh_token, insecure));
    const seen = await oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, authentication, next.access_token, insecure));
    assert.equal(seen.active, false);
    return user;
  },

  async pushed() {
    const oidc = await load("openid-client");
    const config = await oidc.discovery(new URL(to.issuer), to.client_id, to.client_secret, undefined, { execute: [oidc.allowInsecureRequests] });
    const [verifier, state, nonce] = [oidc.randomPKCECodeVerifier(), oidc.randomState(), oidc.randomNonce()];
    const url = await oidc.buildAuthorizationUrlWithPAR(config, {
      redirect_uri: to.redirect_uri, scope, state, nonce, code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
    });
    assert.deepEqual([...url.searchParams.keys()].sort(), ["client_id", "request_uri"]);
    const tokens = await oidc.authorizationCodeGrant(config, await signIn(url), { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
    const { sub } = await checkIdToken(tokens.id_token, config.serverMetadata().jwks_uri, nonce);
    const again = await visit(url);
    assert.notEqual(again.status, 200);
    return await oidc.fetchUserInfo(config, tokens.access_token, sub);
  },

  async device() {
    const oidc = await load("openid-client");
    const config = await oidc.discovery(new URL(to.issuer), to.client_id, to.client_secret, undefined, { execute: [oidc.allowInsecureRequests] });
    const asked = await oidc.initiateDeviceAuthorization(config, { scope });
    // The first question comes after the interval: by then the person is done.
    const waiting = oidc.pollDeviceAuthorizationGrant(config, asked);
    await walk(new URL(asked.verification_uri), (_, html) => /signed in<|Success/i.test(html ?? ""), asked.user_code);
    const tokens = await waiting;
    const { sub } = await checkIdToken(tokens.id_token, config.serverMetadata().jwks_uri, undefined);
    return await oidc.fetchUserInfo(config, tokens.access_token, sub);
  },

  // The client that is told of is not used: this one registers itself.
  async registered() {
    const oidc = await load("openid-client");
    const config = await oidc.dynamicClientRegistration(new URL(to.issuer), {
      client_name: "The shop itself", redirect_uris: [to.redirect_uri], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], id_token_signed_response_alg: "ES256",
      logo_uri: "https://app.example.com/logo.png", contacts: ["it@example.com"], application_type: "web",
    }, undefined, { execute: [oidc.allowInsecureRequests] });
    const client = config.clientMetadata();
    to.client_id = client.client_id;
    const { user } = await byCode(oidc, config);
    const own = await fetch(client.registration_client_uri, { headers: { authorization: `Bearer ${client.registration_access_token}` } });
    assert.equal(own.status, 200);
    assert.equal((await own.json()).client_name, "The shop itself");
    return user;
  },
};

console.log(JSON.stringify(await flows[process.argv[2]]()));
