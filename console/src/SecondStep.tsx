import { useState } from "react";
import type { FormEvent } from "react";

import { CodeForm } from "./CodeForm";
import type { Session, SessionState } from "./session";
import type { TextKey } from "./texts";

type Props = {
  session: Session;
  state: Exclude<SessionState, { kind: "out" | "in" }>;
  texts: Record<TextKey, string>;
};

/** What follows on the password: a second factor, or, for whoever has none yet, setting one up. */
export function SecondStep({ session, state, texts }: Props) {
  const { notice, calm } = state;
  const shared = { session, texts, notice, calm };
  switch (state.kind) {
    case "code":
      return (
        <CodeForm
          {...shared}
          title="codeTitle"
          hint="codeHint"
          label="code"
          onCode={(code) => session.confirm(code)}
        />
      );
    case "factor":
      return state.totp ? (
        <CodeForm
          {...shared}
          title="codeTitle"
          hint="totpHint"
          label="totp"
          onCode={(code) => session.proveByTotp(code)}
        >
          {state.passkey && <PasskeyButton session={session} texts={texts} />}
        </CodeForm>
      ) : (
        <Passkey {...shared} />
      );
    case "enrol":
      return state.secret === null ? (
        <Password {...shared} />
      ) : (
        <CodeForm
          {...shared}
          title="enrolTitle"
          hint="enrolHint"
          label="totp"
          onCode={(code) => session.confirmAuthenticator(code)}
        >
          <p className="secret">
            <code>{state.secret}</code>
          </p>
        </CodeForm>
      );
  }
}

type Shared = Omit<Props, "state"> & Pick<Props["state"], "notice" | "calm">;

function Notice({ texts, notice, calm }: Shared) {
  return (
    <p id="notice" className={calm ? "notice calm" : "notice"} role="alert">
      {notice && ("text" in notice ? texts[notice.text] : notice.message)}
    </p>
  );
}

function PasskeyButton({ session, texts }: Pick<Props, "session" | "texts">) {
  return (
    <button type="button" className="passkey" onClick={() => void session.proveByPasskey()}>
      {texts.usePasskey}
    </button>
  );
}

function Passkey(shared: Shared) {
  const { session, texts } = shared;
  return (
    <main className="entrance">
      <div className="card">
        <h1>{texts.codeTitle}</h1>
        <p className="hint">{texts.passkeyHint}</p>
        <PasskeyButton session={session} texts={texts} />
        <Notice {...shared} />
        <button type="button" className="back" onClick={() => session.cancel()}>
          {texts.back}
        </button>
      </div>
    </main>
  );
}

/** The secret of an authenticator is shown for the password only. */
function Password(shared: Shared) {
  const { session, texts } = shared;
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    await session.enrolAuthenticator(String(form.get("password")));
    setBusy(false);
  }

  return (
    <main className="entrance">
      <form className="card" onSubmit={submit} aria-busy={busy}>
        <h1>{texts.enrolTitle}</h1>
        <p className="hint">{texts.enrolPasswordHint}</p>
        <label>
          {texts.password}
          <input
            name="password"
            type="password"
            autoComplete="current-password"
            required
            autoFocus
            aria-describedby="notice"
          />
        </label>
        <Notice {...shared} />
        <button type="submit" disabled={busy}>
          {texts.confirm}
        </button>
        <button type="button" className="back" onClick={() => void session.signOut()}>
          {texts.signOut}
        </button>
      </form>
    </main>
  );
}
