/**
 * This browser as a device of one member of staff: a key that signs and can't be taken out, kept in
 * IndexedDB. It is all that stays behind in the browser, and worth nothing without the password.
 */

const DATABASE = "pengcheng-console";
const STORE = "devices";
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

type Kept = { keys: CryptoKeyPair; id: string | null };

export class Device {
  readonly #name: string;
  #kept: Kept;

  private constructor(name: string, kept: Kept) {
    this.#name = name;
    this.#kept = kept;
  }

  /** The device of whoever signs in by this phone number: kept from the last time, or new. */
  static async of(phone: string): Promise<Device> {
    // Several people may share a browser; which of them did is nobody's business.
    const name = base64url(await crypto.subtle.digest("SHA-256", bytes(phone.replace(/\s/g, ""))));
    const kept = await stored<Kept | undefined>("readonly", (store) => store.get(name)).catch(
      () => undefined,
    );
    if (kept) return new Device(name, kept);
    const keys = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
    return new Device(name, { keys, id: null });
  }

  /** What the server calls it; null until it is enrolled. */
  get id(): string | null {
    return this.#kept.id;
  }

  async publicKey(): Promise<string> {
    return base64url(await crypto.subtle.exportKey("spki", this.#kept.keys.publicKey));
  }

  async sign(...lines: string[]): Promise<string> {
    const text = bytes(lines.join("\n"));
    return base64url(await crypto.subtle.sign(ALGORITHM, this.#kept.keys.privateKey, text));
  }

  /** Kept for the next time; a browser that keeps nothing asks for a code again. */
  async enrolled(id: string): Promise<void> {
    this.#kept = { ...this.#kept, id };
    await stored("readwrite", (store) => store.put(this.#kept, this.#name)).catch(() => undefined);
  }

  /** The server doesn't know it (any more): a revoked key never works again. */
  async forget(): Promise<void> {
    await stored("readwrite", (store) => store.delete(this.#name)).catch(() => undefined);
  }
}

function stored<Value>(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => {
        database.close();
        resolve(request.result as Value);
      };
      transaction.onabort = () => reject(transaction.error);
    };
  });
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function base64url(data: ArrayBuffer): string {
  const binary = String.fromCharCode(...new Uint8Array(data));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
