// Runs the audits of graphql-http against the address given, and prints one line of JSON.
import { serverAudits } from "graphql-http";

const [url, authorization] = process.argv.slice(2);
const fetchFn = (address, options = {}) =>
  fetch(address, { ...options, headers: { ...options.headers, authorization } });
const failed = [];
const audits = serverAudits({ url, fetchFn });
for (const audit of audits) {
  const outcome = await audit.fn();
  if (outcome.status !== "ok") failed.push(`${audit.id} ${audit.name}: ${outcome.reason}`);
}
console.log(JSON.stringify({ total: audits.length, failed }));
