import { ToolbarButton, useGraphiQL } from "@graphiql/react";
import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import { useEffect, useMemo } from "react";
import "graphiql/setup-workers/vite";
import "graphiql/style.css";

import type { Config } from "./config";
import { createFetcher } from "./fetcher";
import { memoryStorage } from "./memory";
import type { Session } from "./session";
import type { TextKey } from "./texts";

type Props = { config: Config; session: Session; role: string; texts: Record<TextKey, string> };

// In prepared variables this stands for a key that nobody has used yet.
const FRESH_KEY = '"$uuid"';
const KEY_IN_VARIABLES = /("idempotencyKey"\s*:\s*)"[^"]*"/g;

function tabsOf(config: Config, role: string) {
  const operations = [...(config.prepared[role] ?? []), ...(config.prepared["ALL"] ?? [])];
  return operations.map(({ document, variables }) => ({
    query: document,
    variables: variables.replaceAll(FRESH_KEY, () => JSON.stringify(crypto.randomUUID())),
  }));
}

function connect(config: Config, session: Session) {
  const url = new URL(config.graphqlPath, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return createClient({
    url: url.href,
    connectionParams: session.connectionParams,
    retryAttempts: 20,
  });
}

/** The next decision needs a key of its own: one click instead of inventing one. */
function NewKeyButton({ label }: { label: string }) {
  const editor = useGraphiQL((state) => state.variableEditor);
  const renew = () => {
    const key = JSON.stringify(crypto.randomUUID());
    editor?.setValue(editor.getValue().replace(KEY_IN_VARIABLES, `$1${key}`));
  };
  return (
    <ToolbarButton label={label} onClick={renew}>
      <svg viewBox="0 0 24 24" className="graphiql-toolbar-icon key" aria-hidden="true">
        <circle cx="8" cy="15" r="4" />
        <path d="M11 12l8-8m-3 3 3 3m-6 0 2 2" />
      </svg>
    </ToolbarButton>
  );
}

export default function Workbench({ config, session, role, texts }: Props) {
  const storage = useMemo(memoryStorage, []);
  const tabs = useMemo(() => tabsOf(config, role), [config, role]);
  const socket = useMemo(() => connect(config, session), [config, session]);
  useEffect(() => () => void socket.dispose(), [socket]);
  const fetcher = useMemo(
    () => createFetcher(config.graphqlPath, session, socket),
    [config, session, socket],
  );

  return (
    <GraphiQL
      fetcher={fetcher}
      storage={storage}
      defaultTabs={tabs}
      defaultQuery=""
      shouldPersistHeaders={false}
      isHeadersEditorEnabled={false}
      defaultEditorToolsVisibility="variables"
    >
      <GraphiQL.Logo>
        <span className="engine">GraphiQL</span>
      </GraphiQL.Logo>
      <GraphiQL.Toolbar>
        {({ prettify, copy, merge }) => (
          <>
            {prettify}
            {merge}
            {copy}
            <NewKeyButton label={texts.newKey} />
          </>
        )}
      </GraphiQL.Toolbar>
    </GraphiQL>
  );
}
