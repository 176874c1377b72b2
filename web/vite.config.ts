import { defineConfig } from "vite";

export default defineConfig({
  // The folder of the log-in page and of a board's page is not that of the files.
  base: "/",
  build: {
    target: "es2022",
    // Nothing inline: the content security policy forbids it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: true,
  },
});
