// A resident's app on a public client in its default settings, against a whole wallet:
//
//   node wallet.mjs graphql-ws|urql <http address> <ws address>
//
// The first line of standard input says who it is and whom it pays:
// {phone, password, pin, to, deviceId, deviceKey}; the key is PKCS #8 in base64url.
// It signs in, reads, sends money and follows its transactions, over any break of the connection,
// until standard input ends. Every line that it prints is one JSON object.
import { createInterface } from "node:readline";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { randomUUID, webcrypto } from "node:crypto";
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [kind, http, ws] = process.argv.slice(2);
const say = (event) => console.log(JSON.stringify(event));
let token = "";
const authorization = () => (token ? { authorization: `Bearer ${token}` } : {});
const connect = () => {
  const made = createClient({ url: ws, webSocketImpl: WebSocket, connectionParams: authorization });
  made.on("connected", () => say({ connected: true }));
  made.on("closed", (event) => say({ closed: event.code }));
  return made;
};

/** All three kinds of operation on one socket. */
function overSocket(socket) {
  const run = async (query, variables) => {
    for await (const { data, errors } of socket.iterate({ query, variables })) {
      if (errors) throw new Error(errors[0].message);
      return data;
    }
  };
  const follow = async (query, variables, hear) => {
    for await (const { data } of socket.iterate({ query, variables })) hear(data);
  };
  return { run, follow, dispose: () => socket.dispose() };
}

/** Queries and mutations by HTTP, subscriptions as urql's documentation says. */
function overUrql(socket) {
  const client = new Client({
    url: http,
    fetchOptions: () => ({ headers: authorization() }),
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (operation) => ({
          subscribe: (sink) => ({
            unsubscribe: socket.subscribe({ ...operation, query: operation.query || "" }, sink),
          }),
        }),
      }),
    ],
  });
  const run = async (query, variables) => {
    const change = query.startsWith("mutation");
    const { data, error } = await client[change ? "mutation" : "query"](query, variables).toPromise();
    if (error) throw error;
    return data;
  };
  const follow = (query, variables, hear) =>
    new Promise((_, reject) => {
      client.subscription(query, variables).subscribe(({ data, error }) => {
        if (error) reject(error);
        else hear(data);
      });
    });
  return { run, follow, dispose: () => socket.dispose() };
}

const LOGIN = `mutation($input: LoginInput!) { login(input: $input) {
  ... on LoginSuccess { challenge { id nonce } } ... on Error { code } } }`;
const COMPLETE = `mutation($input: CompleteLoginInput!) { completeLogin(input: $input) {
  ... on CompleteLoginSuccess { session { accessToken } } ... on Error { code } } }`;
const ME = "query { viewer { displayName role } }";
const SEND = `mutation($input: CreateTransferInput!) { createTransfer(input: $input) {
  ... on CreateTransferSuccess { transaction { id } } ... on Error { code } } }`;
const EVENTS = `subscription($after: EventCursor) { transactionEvents(after: $after) {
  ... on TransactionEvent { cursor sequence transaction { id } } ... on EventsGap { message } } }`;

const lines = createInterface({ input: process.stdin });
const [first] = await once(lines, "line");
const { phone, password, pin, to, deviceId, deviceKey } = JSON.parse(first);

/** What the device's key says to a login challenge; a browser would have kept the key itself. */
async function deviceProof({ id, nonce }) {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const pkcs8 = Buffer.from(deviceKey, "base64url");
  const key = await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]);
  const text = new TextEncoder().encode(`pengcheng-wallet login v1\n${id}\n${nonce}`);
  const signature = Buffer.from(await webcrypto.subtle.sign(algorithm, key, text));
  return { deviceKey: { deviceId, signature: signature.toString("base64url") } };
}

const app = kind === "urql" ? overUrql : overSocket;

// Who a socket belongs to is said when it opens, so signing in takes one of its own.
const door = app(connect());
const { challenge } = (await door.run(LOGIN, { input: { phone, password } })).login;
const answer = { challengeId: challenge.id, proof: await deviceProof(challenge) };
token = (await door.run(COMPLETE, { input: answer })).completeLogin.session.accessToken;
await door.dispose();
const wallet = app(connect());
const { viewer } = await wallet.run(ME, {});
say({ me: viewer.displayName, role: viewer.role });

// A client that comes back by itself sends this same object again, and one that gives up (in Node
// a refused connection is final by default) is asked anew: both go on behind the last event.
const variables = { after: null };
let heard;
const started = new Promise((resolve) => (heard = resolve));
const hear = ({ transactionEvents: event }) => {
  variables.after = event.cursor;
  say({ event: event.sequence, id: event.transaction.id });
  heard(true);
};
const keepFollowing = async () => {
  for (;;) {
    await wallet.follow(EVENTS, variables, hear).catch((error) => say({ lost: `${error}` }));
    await pause(200);
  }
};
keepFollowing();
const send = { phone: to, amount: { amount: "0.10", currencyCode: "CNY" }, proof: { pin } };
// Nothing says that a subscription has begun but its first event.
for (let live = false; !live; ) {
  const input = { ...send, idempotencyKey: randomUUID() };
  say({ sent: (await wallet.run(SEND, { input })).createTransfer });
  live = await Promise.race([started, pause(500, false)]);
}
say({ live: true });
await once(lines, "close");
await wallet.dispose();
process.exit(0);
