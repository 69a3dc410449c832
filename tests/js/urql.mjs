// urql with its default exchanges, subscriptions through graphql-ws as its documentation says.
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [http, ws] = process.argv.slice(2);
const socket = createClient({ url: ws, webSocketImpl: WebSocket });
const client = new Client({
  url: http,
  exchanges: [
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
const say = (event) => console.log(JSON.stringify(event));
const plain = ({ data, error }) => ({ data, error: error?.message });
say({ query: plain(await client.query('{ hello(name: "urql") }', {}).toPromise()) });
const input = { key: "k", to: "m", nested: { amount: 5 } };
const pay = "mutation($input: PayInput!) { pay(input: $input) { ... on Paid { amount } } }";
say({ mutation: plain(await client.mutation(pay, { input }).toPromise()) });
const numbers = [];
await new Promise((resolve) => {
  client.subscription("subscription { ticks(count: 3) { number } }", {}).subscribe((result) => {
    numbers.push(result.error?.message ?? result.data.ticks.number);
    if (numbers.length === 3) resolve();
  });
});
say({ subscription: numbers });
await socket.dispose();
