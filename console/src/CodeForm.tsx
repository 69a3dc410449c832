import { useRef, useState } from "react";
import type { FormEvent, ReactNode } from "react";

import type { Notice, Session } from "./session";
import type { TextKey } from "./texts";

type Props = {
  session: Session;
  texts: Record<TextKey, string>;
  title: TextKey;
  hint: TextKey;
  label: TextKey;
  notice: Notice | null;
  calm: boolean;
  onCode: (code: string) => Promise<void>;
  children?: ReactNode;
};

/** A step of signing in that takes six digits; `children` stand between its hint and the digits. */
export function CodeForm(props: Props) {
  const { session, texts, title, hint, label, notice, calm, onCode, children } = props;
  const [busy, setBusy] = useState(false);
  const code = useRef<HTMLInputElement>(null);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    await onCode(String(form.get("code")).trim());
    setBusy(false);
    code.current?.select();
    code.current?.focus();
  }

  return (
    <main className="entrance">
      <form className="card" onSubmit={submit} aria-busy={busy}>
        <h1>{texts[title]}</h1>
        <p className="hint">{texts[hint]}</p>
        {children}
        <label>
          {texts[label]}
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
