// An OpenID Connect provider of somebody else's: node-oidc-provider, which is certified. It believes any password.
//
//   node foreign_provider.mjs WEB CLIENT SECRET REDIRECT     an empty SECRET: the client has none
//
// Prints its address once it listens, and ends with its standard input.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [web, client, secret, redirect] = process.argv.slice(2);
const found = createRequire(`${web}/package.json`).resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(found));

const server = createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
// Another name than the lab's, so that browsers hold the two for two sites.
const issuer = `http://localhost:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: client,
    redirect_uris: [redirect],
    ...(secret ? { client_secret: secret } : { token_endpoint_auth_method: "none" }),
    application_type: "native", // a web client may not have an http address
  }],
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["preferred_username"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id }) }),
});
server.on("request", provider.callback());
process.stdin.resume().on("end", () => process.exit(0));
console.log(issuer);
