import { useEffect, useRef, useState } from "react";
import type { FormEvent } from "react";

import type { Session, SessionState } from "./session";
import type { TextKey } from "./texts";

type Props = {
  session: Session;
  state: Extract<SessionState, { kind: "out" }>;
  texts: Record<TextKey, string>;
  onReady: () => void;
};

export function SignIn({ session, state, texts, onReady }: Props) {
  const [busy, setBusy] = useState(false);
  const password = useRef<HTMLInputElement>(null);
  const { notice, calm } = state;

  // While somebody types, the workbench arrives; if it can't, its own place says so.
  useEffect(() => void Promise.resolve(onReady()).catch(() => undefined), [onReady]);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    await session.signIn(String(form.get("phone")).trim(), String(form.get("password")));
    setBusy(false);
    password.current?.select();
    password.current?.focus();
  }

  return (
    <main className="entrance">
      <form className="card" onSubmit={submit} aria-busy={busy}>
        <h1>{texts.signIn}</h1>
        <p className="hint">{texts.signInHint}</p>
        <label>
          {texts.phone}
          <input name="phone" type="tel" autoComplete="username" required autoFocus />
        </label>
        <label>
          {texts.password}
          <input
            ref={password}
            name="password"
            type="password"
            autoComplete="current-password"
            required
            aria-invalid={notice !== null && !calm}
            aria-describedby="notice"
          />
        </label>
        <p id="notice" className={calm ? "notice calm" : "notice"} role="alert">
          {!busy && notice && ("text" in notice ? texts[notice.text] : notice.message)}
        </p>
        <button type="submit" disabled={busy}>
          {busy ? texts.signingIn : texts.signIn}
        </button>
      </form>
    </main>
  );
}
