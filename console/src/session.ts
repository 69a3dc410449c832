/**
 * The signed-in member of staff. Tokens live in this object only: a reload signs out, and a
 * duplicated tab can't present the same refresh token twice, which would revoke the family.
 * Signing in takes the password and a passkey or an authenticator's code. Whoever has neither yet
 * gets in by this browser's own key, or by a code if it is new, only to set an authenticator up.
 */
import { Device } from "./device";
import completeDocument from "./documents/complete-sign-in.graphql?raw";
import confirmAuthenticatorDocument from "./documents/confirm-authenticator.graphql?raw";
import enrolAuthenticatorDocument from "./documents/enrol-authenticator.graphql?raw";
import refreshDocument from "./documents/refresh-session.graphql?raw";
import sendCodeDocument from "./documents/send-sign-in-code.graphql?raw";
import signInDocument from "./documents/sign-in.graphql?raw";
import signOutDocument from "./documents/sign-out.graphql?raw";
import viewerDocument from "./documents/viewer.graphql?raw";
import type { Language, TextKey } from "./texts";

export type Viewer = {
  id: string;
  displayName: string | null;
  role: string;
  needsSecondFactor: boolean;
};
export type Notice = { text: TextKey } | { message: string };
export type SessionState =
  | { kind: "out"; notice: Notice | null; calm: boolean }
  | { kind: "code"; notice: Notice | null; calm: boolean }
  | { kind: "factor"; totp: boolean; passkey: boolean; notice: Notice | null; calm: boolean }
  | { kind: "enrol"; secret: string | null; notice: Notice | null; calm: boolean }
  | { kind: "in"; viewer: Viewer };

type Tokens = { accessToken: string; refreshToken: string; expiresAtMilliseconds: number };
type WireSession = { accessToken: string; refreshToken: string; expiresAt: string };
type Challenge = {
  id: string;
  nonce: string;
  methods: string[];
  passkeyOptions: string | null;
};
type WireResult = {
  __typename: string;
  session?: WireSession;
  challenge?: Challenge;
  verification?: { id: string };
  device?: { id: string };
  secret?: string;
  confirmed?: boolean;
  code?: string;
  message?: string;
};
/** Where a sign-in stands between its two steps. */
type Pending = { challenge: Challenge; device: Device; verificationId: string | null };
type Answer<Data> = {
  data?: Data | null;
  errors?: { message: string; extensions?: { code?: string } }[];
};

const PUBLIC_ROLES = new Set(["RESIDENT", "MERCHANT"]);
const TRY_AGAIN = new Set(["TOTP_INVALID", "PASSKEY_INVALID"]);
const REFRESH_AHEAD_MILLISECONDS = 60_000;
const RETRY_MILLISECONDS = 5_000;
const LOGIN_PREFIX = "pengcheng-wallet login v1";
const REFRESH_PREFIX = "pengcheng-wallet refresh v1";

class Unreachable extends Error {}
class Unexpected extends Error {}

export class Session {
  language: Language;
  #state: SessionState = { kind: "out", notice: null, calm: true };
  #tokens: Tokens | null = null;
  #device: Device | null = null;
  #pending: Pending | null = null;
  #refreshing: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  // How far the server's clock is ahead of this one, from the Date header of its last answer.
  #skewMilliseconds = 0;
  readonly #path: string;
  readonly #listeners = new Set<() => void>();

  constructor(graphqlPath: string, language: Language) {
    this.#path = graphqlPath;
    this.language = language;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getState = (): SessionState => this.#state;

  /** The first step, and the second if this browser is known; every outcome shows in the state. */
  async signIn(phone: string, password: string): Promise<void> {
    try {
      const { login } = await this.#ask<{ login: WireResult }>(signInDocument, {
        input: { phone, password },
      });
      if (!login.challenge) return this.#leave({ message: login.message ?? "" });
      if (this.#staffFactor(login.challenge)) {
        const device = await Device.of(phone);
        this.#pending = { challenge: login.challenge, device, verificationId: null };
        return this.#askFactor(null);
      }
      const device = await this.#signInByKey(login.challenge, phone);
      if (device) await this.#sendCode(login.challenge, device);
    } catch (error) {
      this.#leave(noticeOf(error));
    }
  }

  /** The second step in a new browser, by the code that the phone got. */
  async confirm(code: string): Promise<void> {
    const pending = this.#pending;
    if (!pending) return this.#leave({ text: "sessionEnded" });
    await this.#prove(pending, { code: { verificationId: pending.verificationId, code } });
  }

  /** The second step of staff, by the code that the authenticator app shows. */
  async proveByTotp(code: string): Promise<void> {
    const pending = this.#pending;
    if (!pending) return this.#leave({ text: "sessionEnded" });
    await this.#prove(pending, { totp: code });
  }

  /** The same by a passkey: the browser asks for the finger, the face or the device's own code. */
  async proveByPasskey(): Promise<void> {
    const pending = this.#pending;
    if (!pending?.challenge.passkeyOptions) return this.#leave({ text: "sessionEnded" });
    let credential: string;
    try {
      const asked = JSON.parse(pending.challenge.passkeyOptions);
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(asked);
      credential = JSON.stringify(await navigator.credentials.get({ publicKey }));
    } catch {
      return this.#askFactor({ text: "passkeyFailed" });
    }
    await this.#prove(pending, { passkey: { credential } });
  }

  /** Shows the secret of a new authenticator, for the password. */
  async enrolAuthenticator(password: string): Promise<void> {
    await this.#setUp(null, async () => {
      const data = await this.#ask<{ enrolTotp: WireResult }>(enrolAuthenticatorDocument, {
        input: { password },
      });
      const { secret, message } = data.enrolTotp;
      const notice = secret ? null : { message: message ?? "" };
      this.#become({ kind: "enrol", secret: secret ?? null, notice, calm: false });
    });
  }

  /** Takes it into use, which lets its owner in. */
  async confirmAuthenticator(code: string): Promise<void> {
    const secret = this.#state.kind === "enrol" ? this.#state.secret : null;
    await this.#setUp(secret, async () => {
      const data = await this.#ask<{ confirmTotp: WireResult }>(confirmAuthenticatorDocument, {
        input: { code },
      });
      if (data.confirmTotp.confirmed) return this.#show();
      const notice = { message: data.confirmTotp.message ?? "" };
      this.#become({ kind: "enrol", secret, notice, calm: false });
    });
  }

  /** Back to the first step. */
  cancel(): void {
    void this.#revoke();
    this.#leave(null, { calm: true });
  }

  async signOut(): Promise<void> {
    await this.#revoke();
    this.#leave({ text: "signedOut" }, { calm: true });
  }

  /** `fetch` with the session's authorization; renews it once if the server says it has ended. */
  readonly fetch: typeof fetch = async (input, init) => {
    const response = await this.#send(input, init);
    if (!(await saysSignedOut(response)) || !this.#tokens) return response;
    await this.#refresh();
    return this.#tokens ? this.#send(input, init) : response;
  };

  /** What the WebSocket presents at every connection, so a reconnect carries the newest token. */
  readonly connectionParams = async (): Promise<Record<string, string>> => {
    if (this.#tokens && this.#remaining() < RETRY_MILLISECONDS) await this.#refresh();
    return this.#tokens ? { authorization: `Bearer ${this.#tokens.accessToken}` } : {};
  };

  /** A device that needs a code, or null if the known one has settled it. */
  async #signInByKey(challenge: Challenge, phone: string): Promise<Device | null> {
    const device = await Device.of(phone);
    if (!device.id || !challenge.methods.includes("DEVICE_KEY")) return device;
    const signature = await device.sign(LOGIN_PREFIX, challenge.id, challenge.nonce);
    const result = await this.#complete({
      challengeId: challenge.id,
      proof: { deviceKey: { deviceId: device.id, signature } },
    });
    if (result.session) {
      await this.#enter(result, device);
      return null;
    }
    if (result.code !== "DEVICE_PROOF_INVALID") {
      this.#leave({ message: result.message ?? "" });
      return null;
    }
    await device.forget();
    return Device.of(phone);
  }

  async #sendCode(challenge: Challenge, device: Device): Promise<void> {
    const { sendLoginCode } = await this.#ask<{ sendLoginCode: WireResult }>(sendCodeDocument, {
      input: { challengeId: challenge.id },
    });
    const verificationId = sendLoginCode.verification?.id;
    if (!verificationId) return this.#leave({ message: sendLoginCode.message ?? "" });
    this.#pending = { challenge, device, verificationId };
    this.#become({ kind: "code", notice: { text: "codeSent" }, calm: true });
  }

  async #complete(input: object): Promise<WireResult> {
    const data = await this.#ask<{ completeLogin: WireResult }>(completeDocument, { input });
    return data.completeLogin;
  }

  /** Whether the server asks for a passkey or an authenticator, as it does of staff. */
  #staffFactor({ methods }: Challenge): boolean {
    return !methods.includes("CODE");
  }

  #askFactor(notice: Notice | null): void {
    const methods = this.#pending?.challenge.methods ?? [];
    const [totp, passkey] = [methods.includes("TOTP"), methods.includes("PASSKEY")];
    this.#become({ kind: "factor", totp, passkey, notice, calm: false });
  }

  /** Something wrong may be tried again while the challenge lasts; all else ends the sign-in. */
  async #prove(pending: Pending, proof: object): Promise<void> {
    const { challenge, device } = pending;
    try {
      const result = await this.#complete({
        challengeId: challenge.id,
        proof,
        device: { publicKey: await device.publicKey(), name: "Console", platform: "WEB" },
      });
      if (result.session) return await this.#enter(result, device);
      const notice = { message: result.message ?? "" };
      if (result.code === "CODE_INVALID") return this.#become({ kind: "code", notice, calm: false });
      if (TRY_AGAIN.has(result.code ?? "")) return this.#askFactor(notice);
      this.#leave(notice);
    } catch (error) {
      this.#leave(noticeOf(error));
    }
  }

  /** A step of setting an authenticator up; a session that ended meanwhile ends that, too. */
  async #setUp(secret: string | null, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (error instanceof Unreachable) {
        return this.#become({ kind: "enrol", secret, notice: noticeOf(error), calm: false });
      }
      await this.#revoke();
      this.#leave(noticeOf(error));
    }
  }

  /** Signed in: keep what belongs to it, and let in only staff. */
  async #enter(result: WireResult, device: Device): Promise<void> {
    this.#pending = null;
    this.#device = device;
    if (result.device) await device.enrolled(result.device.id);
    if (result.session) this.#keep(result.session);
    await this.#show();
  }

  async #show(): Promise<void> {
    const viewer = await this.#viewer();
    if (viewer && !PUBLIC_ROLES.has(viewer.role)) {
      if (!viewer.needsSecondFactor) return this.#become({ kind: "in", viewer });
      return this.#become({ kind: "enrol", secret: null, notice: null, calm: true });
    }
    await this.#revoke();
    this.#leave({ text: "notStaff" });
  }

  async #viewer(): Promise<Viewer | null> {
    const data = await this.#ask<{ viewer: Viewer | null }>(viewerDocument, {});
    return data.viewer;
  }

  async #revoke(): Promise<void> {
    const tokens = this.#tokens;
    if (!tokens) return;
    try {
      await this.#ask(signOutDocument, { input: { refreshToken: tokens.refreshToken } });
    } catch {
      // The tokens are forgotten here in any case, and the access token dies by itself in minutes.
    }
  }

  /** One refresh at a time: the refresh token works once. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#refreshOnce().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refreshOnce(): Promise<void> {
    const tokens = this.#tokens;
    const device = this.#device;
    if (!tokens || !device) return;
    try {
      const deviceSignature = await device.sign(REFRESH_PREFIX, tokens.refreshToken);
      const data = await this.#ask<{ refreshSession: WireResult }>(refreshDocument, {
        input: { refreshToken: tokens.refreshToken, deviceSignature },
      });
      // Signed out meanwhile: the new tokens belong to nobody here.
      if (this.#tokens !== tokens) return;
      if (data.refreshSession.session) this.#keep(data.refreshSession.session);
      else this.#leave({ text: "sessionEnded" });
    } catch (error) {
      if (this.#tokens !== tokens) return;
      if (error instanceof Unreachable) this.#schedule(RETRY_MILLISECONDS);
      else this.#leave({ text: "sessionEnded" });
    }
  }

  #keep(session: WireSession): void {
    const { accessToken, refreshToken, expiresAt } = session;
    this.#tokens = { accessToken, refreshToken, expiresAtMilliseconds: Date.parse(expiresAt) };
    const remaining = this.#remaining();
    this.#schedule(Math.max(remaining - REFRESH_AHEAD_MILLISECONDS, remaining / 2, 1_000));
  }

  #schedule(delayMilliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#refresh(), delayMilliseconds);
  }

  #remaining(): number {
    const end = this.#tokens?.expiresAtMilliseconds ?? 0;
    return end - (Date.now() + this.#skewMilliseconds);
  }

  #leave(notice: Notice | null, { calm = false } = {}): void {
    clearTimeout(this.#timer);
    this.#tokens = null;
    this.#device = null;
    this.#pending = null;
    this.#become({ kind: "out", notice, calm });
  }

  #become(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }

  async #send(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const headers = new Headers(init?.headers);
    headers.set("accept-language", this.language);
    headers.delete("authorization");
    if (this.#tokens) headers.set("authorization", `Bearer ${this.#tokens.accessToken}`);
    const response = await fetch(input, { ...init, headers, credentials: "omit" });
    const serverTime = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(serverTime)) this.#skewMilliseconds = serverTime - Date.now();
    return response;
  }

  async #ask<Data>(query: string, variables: object): Promise<Data> {
    const body = JSON.stringify({ query, variables });
    const headers = {
      "content-type": "application/json",
      accept: "application/graphql-response+json, application/json;q=0.9",
    };
    const response = await this.#send(this.#path, { method: "POST", headers, body }).catch(() => {
      throw new Unreachable();
    });
    if (response.status >= 502 && response.status <= 504) throw new Unreachable();
    const answer = (await response.json().catch(() => ({}))) as Answer<Data>;
    if (answer.data && !answer.errors?.length) return answer.data;
    throw new Unexpected(answer.errors?.[0]?.message);
  }
}

function noticeOf(error: unknown): Notice {
  if (error instanceof Unreachable) return { text: "unreachable" };
  if (error instanceof Unexpected && error.message) return { message: error.message };
  return { text: "unexpected" };
}

async function saysSignedOut(response: Response): Promise<boolean> {
  if (response.status === 401) return true;
  if (!response.headers.get("content-type")?.includes("json")) return false;
  const answer = (await response.clone().json().catch(() => ({}))) as Answer<unknown>;
  return answer.errors?.some((error) => error.extensions?.code === "UNAUTHENTICATED") ?? false;
}
