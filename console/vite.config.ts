import { defineConfig } from "vite";

// The page itself is written by transport/console.py, which finds the entry in the manifest:
// so there is no index.html here, and nothing in the page is inline.
export default defineConfig({
  base: "/console/",
  publicDir: false,
  worker: { format: "es" },
  build: {
    target: "es2022",
    outDir: "../transport/static/console",
    emptyOutDir: true,
    manifest: "manifest.json",
    modulePreload: { polyfill: false },
    // Fonts and pictures become files of their own: only Monaco's, which arrive inline, stay so.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 5000,
    // The terms of everything bundled travel with the bundle.
    license: { fileName: "licenses.md" },
    rollupOptions: {
      input: "src/main.tsx",
      // Half the packages say "use client", which means nothing to a page without a server half.
      onLog: (level, log, pass) => {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") pass(level, log);
      },
    },
  },
});
