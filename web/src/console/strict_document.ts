/**
 * xterm.js writes `<style>` elements, which our content security policy forbids, as a board's words could
 * become one. It may be given a document of its own, and in this one a style element is an empty element
 * whose text goes into a constructed style sheet.
 */

/** Return the document for a terminal, and what takes its styles away. */
export function strictDocument(): { document: Document; dispose: () => void } {
  const sheets: CSSStyleSheet[] = [];

  function styleElement(): HTMLElement {
    const sheet = new CSSStyleSheet();
    sheets.push(sheet);
    document.adoptedStyleSheets.push(sheet);
    const element = document.createElement("span");
    element.hidden = true;
    Object.defineProperty(element, "textContent", {
      set: (text: string) => sheet.replaceSync(text),
    });
    return element;
  }

  const strict = new Proxy(document, {
    get(target, key) {
      if (key === "createElement") {
        return (name: string, options?: ElementCreationOptions) =>
          name === "style" ? styleElement() : target.createElement(name, options);
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    document: strict,
    dispose: () => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => !sheets.includes(one));
    },
  };
}
