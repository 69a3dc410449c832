// Keeps only the gzip form of every text asset. The server sends these bytes as they are, and
// unpacks them for the rare client that takes no gzip; the repository carries each file once.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const directory = new URL("../transport/static/console/assets", import.meta.url).pathname;
const ANY_SYSTEM = 255;

for (const name of readdirSync(directory).filter((name) => /\.(js|css|svg)$/.test(name))) {
  const path = join(directory, name);
  const packed = gzipSync(readFileSync(path), { level: 9 });
  // The header's ninth byte names the system that packed it; the same build must give the same bytes.
  packed[9] = ANY_SYSTEM;
  writeFileSync(`${path}.gz`, packed);
  rmSync(path);
}
