// graphql-ws with its default settings: an operation of each kind on one socket, then a
// subscription that outlives a restart of the server. Prints a line for every event, and reads
// a line from standard input before it goes on to the restart.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const client = createClient({ url: process.argv[2], webSocketImpl: WebSocket });
const say = (event) => console.log(JSON.stringify(event));
const all = async (query, variables) => {
  const found = [];
  for await (const result of client.iterate({ query, variables })) found.push(result);
  return found;
};
client.on("closed", (event) => say({ closed: event.code }));
say({ query: await all('{ hello(name: "ws") }') });
const input = { key: "k", to: "m", nested: { amount: 5 } };
const pay = "mutation($input: PayInput!) { pay(input: $input) { ... on Paid { amount } } }";
say({ mutation: await all(pay, { input }) });
say({ subscription: await all("subscription { ticks(count: 3) { number loadedBefore } }") });
let seen = 0;
for await (const result of client.iterate({
  query: 'subscription { ticks(count: 1, then: "wait") { number } }',
})) {
  seen += 1;
  say({ live: result.data.ticks.number, seen });
  if (seen === 2) break;
}
await client.dispose();
say({ done: true });
