/** What the server tells the page, in the `config` block of the HTML. */

export type PreparedOperation = { document: string; variables: string };

export type Config = {
  graphqlPath: string;
  environment: string;
  /** Operations by role name; those under `ALL` are for everybody. */
  prepared: Record<string, PreparedOperation[]>;
};

export function readConfig(): Config {
  const block = document.getElementById("config");
  if (!block?.textContent) throw new Error("The page has no config block.");
  return JSON.parse(block.textContent) as Config;
}
