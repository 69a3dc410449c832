import { useRef, useState } from "react";
import type { FormEvent } from "react";

import type { Session, SessionState } from "./session";
import type { TextKey } from "./texts";

type Props = {
  session: Session;
  state: Extract<SessionState, { kind: "code" }>;
  texts: Record<TextKey, string>;
};

/** The second step of signing in, in a browser that is new to the account. */
export function ConfirmCode({ session, state, texts }: Props) {
  const [busy, setBusy] = useState(false);
  const code = useRef<HTMLInputElement>(null);
  const { notice, calm } = state;

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    await session.confirm(String(form.get("code")).trim());
    setBusy(false);
    code.current?.select();
    code.current?.focus();
  }

  return (
    <main className="entrance">
      <form className="card" onSubmit={submit} aria-busy={busy}>
        <h1>{texts.codeTitle}</h1>
        <p className="hint">{texts.codeHint}</p>
        <label>
          {texts.code}
          <input
            ref={code}
            name="code"
            inputMode="numeric"
            autoComplete="one-time-code"
            pattern="[0-9]{6}"
            maxLength={6}
            required
            autoFocus
            aria-invalid={notice !== null && !calm}
            aria-describedby="notice"
          />
        </label>
        <p id="notice" className={calm ? "notice calm" : "notice"} role="alert">
          {!busy && notice && ("text" in notice ? texts[notice.text] : notice.message)}
        </p>
        <button type="submit" disabled={busy}>
          {busy ? texts.signingIn : texts.confirm}
        </button>
        <button type="button" className="back" onClick={() => session.cancel()}>
          {texts.back}
        </button>
      </form>
    </main>
  );
}
