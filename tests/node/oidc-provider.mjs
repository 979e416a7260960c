// A real OpenID Connect provider (the npm package oidc-provider) for the end-to-end tests: people sign in by
// authorization code or device code, machines by client credentials, access tokens are JWTs (RFC 9068) for LangGraph.
//
//   node oidc-provider.mjs PORT
//
// Its introspection and revocation endpoints (RFC 7662, RFC 7009) know opaque tokens alone. So each JWT names in `ref` an
// opaque token that was issued with it, and a JWT that comes to one of these endpoints is looked up as that token.
//
// /test/plain/introspection is the provider's own endpoint, which knows no JWT.
//
// POST /test/rotate makes a new signing key; the one before it stays published, the one before that goes.
// POST /test/down/SECONDS refuses connections for so long.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const resource = "urn:example:langgraph";

const people = {
  mia: { name: "Mia Manager", email: "mia@example.com", roles: ["manager"] },
  zoe: { name: "Zoë O'Brien", email: "zoe.obrien@example.com", roles: ["analyst"] },
};

function newKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
}

function provider(keys) {
  return new Provider(issuer, {
    jwks: { keys },
    cookies: { keys: ["only-for-tests"] },
    clients: [
      {
        client_id: "console",
        token_endpoint_auth_method: "none",
        grant_types: ["authorization_code"],
        response_types: ["code"],
        redirect_uris: ["http://127.0.0.1/callback"],
        application_type: "native",
      },
      {
        client_id: "terminal",
        token_endpoint_auth_method: "none",
        grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        response_types: [],
        redirect_uris: [],
      },
      {
        client_id: "nightly",
        client_secret: "synthetic-client-secret",
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
      },
    ],
    // The desk learns who someone is from the ID token.
    claims: { openid: ["sub"], profile: ["name", "roles"], email: ["email"] },
    conformIdTokenClaims: false,
    issueRefreshToken: async (_, client) => client.grantTypeAllowed("refresh_token"),
    findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
    extraTokenClaims: async ({ oidc }, token) => {
      // Only tokens for LangGraph are JWTs; the twin is none, and gets here too.
      if (!token.resourceServer) return undefined;
      const twin = new oidc.provider.ClientCredentials({ client: oidc.client, scope: "runs" });
      const claims = token.accountId ? people[token.accountId] : { roles: ["batch"] };
      return { ...claims, ref: await twin.save() };
    },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "runs",
          audience: "langgraph",
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
}

// Storage is in memory and shared by all instances, so sessions outlive a rotation.
let keys = [newKey()];
let handle = provider(keys).callback();

const server = createServer((request, response) => {
  const down = request.method === "POST" && request.url.match(/^\/test\/down\/(\d+)$/);
  if (request.method === "POST" && request.url === "/test/rotate") {
    keys = [newKey(), keys[0]];
    handle = provider(keys).callback();
    response.writeHead(204).end();
  } else if (down) {
    response.writeHead(204).end(() => {
      server.close();
      server.closeAllConnections();
      setTimeout(listen, Number(down[1]) * 1000);
    });
  } else if (request.method === "POST" && /^\/token\/(introspection|revocation)$/.test(request.url)) {
    lookUp(request).then(() => handle(request, response));
  } else if (request.method === "POST" && request.url === "/test/plain/introspection") {
    request.url = "/token/introspection";
    handle(request, response);
  } else {
    handle(request, response);
  }
});

async function lookUp(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  // What has been read already the provider takes from `body`.
  request.body = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
  const [, claims, signature] = request.body.token?.split(".") ?? [];
  if (signature) request.body.token = JSON.parse(Buffer.from(claims, "base64url").toString()).ref;
}

function listen() {
  server.listen(port, "127.0.0.1", () => console.log(`${issuer} issues tokens for ${resource}`));
}

listen();
