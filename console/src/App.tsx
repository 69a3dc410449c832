import { Component, lazy, Suspense, useEffect, useState, useSyncExternalStore } from "react";
import type { ReactNode } from "react";

import type { Config } from "./config";
import { Header } from "./Header";
import { SecondStep } from "./SecondStep";
import { Session } from "./session";
import { SignIn } from "./SignIn";
import { preferredLanguage, TEXTS } from "./texts";
import type { Language } from "./texts";

// GraphiQL and Monaco are megabytes; the sign-in form shouldn't wait for them.
const loadWorkbench = () => import("./Workbench");
const Workbench = lazy(loadWorkbench);

/** A chunk that can't be loaded becomes a sentence instead of an empty page. */
class Failure extends Component<{ text: string; children: ReactNode }, { failed: boolean }> {
  state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  render() {
    if (!this.state.failed) return this.props.children;
    return (
      <p className="waiting" role="alert">
        {this.props.text}
      </p>
    );
  }
}

export function App({ config }: { config: Config }) {
  const [language, setLanguage] = useState<Language>(preferredLanguage);
  const [session] = useState(() => new Session(config.graphqlPath, language));
  const state = useSyncExternalStore(session.subscribe, session.getState);
  const texts = TEXTS[language];

  useEffect(() => {
    session.language = language;
    document.documentElement.lang = language;
    document.title = `鹏城钱包 Pengcheng Wallet · ${texts.title}`;
  }, [language, session, texts]);

  return (
    <div className="page">
      <Header
        environment={config.environment}
        language={language}
        viewer={state.kind === "in" ? state.viewer : null}
        onLanguage={setLanguage}
        onSignOut={() => void session.signOut()}
      />
      {state.kind === "out" ? (
        <SignIn session={session} state={state} texts={texts} onReady={loadWorkbench} />
      ) : state.kind !== "in" ? (
        <SecondStep session={session} state={state} texts={texts} />
      ) : (
        <main className="workbench" aria-label={texts.workbench}>
          <Failure text={texts.loadFailed}>
            <Suspense
              fallback={
                <p className="waiting" role="status">
                  {texts.loading}
                </p>
              }
            >
              <Workbench
                key={state.viewer.id}
                config={config}
                session={session}
                role={state.viewer.role}
                texts={texts}
              />
            </Suspense>
          </Failure>
        </main>
      )}
    </div>
  );
}
