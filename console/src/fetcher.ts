import { createGraphiQLFetcher } from "@graphiql/toolkit";
import type { Fetcher } from "@graphiql/toolkit";
import { Kind, parse } from "graphql";
import type { DocumentNode } from "graphql";
import type { Client } from "graphql-ws";

import type { Session } from "./session";

/** Queries and mutations by the session's fetch, subscriptions by the socket. */
export function createFetcher(path: string, session: Session, socket: Client): Fetcher {
  const send = createGraphiQLFetcher({
    url: path,
    fetch: session.fetch,
    wsClient: socket,
    // The server answers whole; asking for parts would only change the content type.
    enableIncrementalDelivery: false,
  });
  return (params, options) => {
    // GraphiQL learns of a tab's operation a moment after it shows the tab. Whoever is faster
    // would send the old tab's name, or a subscription by HTTP: so the text itself decides.
    const documentAST = tryParse(params.query);
    const names = operationNames(documentAST);
    const [only] = names.length === 1 ? names : [params.operationName];
    return send({ ...params, operationName: only }, { ...options, documentAST });
  };
}

function tryParse(query: string): DocumentNode | undefined {
  try {
    return parse(query);
  } catch {
    // What is wrong with the document is the server's to say.
    return undefined;
  }
}

function operationNames(document: DocumentNode | undefined): (string | undefined)[] {
  const definitions = document?.definitions ?? [];
  return definitions.flatMap((one) =>
    one.kind === Kind.OPERATION_DEFINITION ? [one.name?.value] : [],
  );
}
