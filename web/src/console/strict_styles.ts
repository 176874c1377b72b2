/**
 * xterm.js writes `<style>` elements and style attributes, which our content security policy forbids, as a
 * board's words could become some. While a terminal is open, a style element that is asked for is an empty
 * element whose text goes into a constructed style sheet, and the style attribute of a span goes through the
 * CSS object model. The policy leaves both alone, since no markup can do the same.
 *
 * (Its option `documentOverride` would be the place for this; xterm.js 6.0 asks the page's document for the
 * scroll bar and the text all the same.)
 */

/** Begin; the returned function ends it and takes the styles away. */
export function strictStyles(): () => void {
  const sheets: CSSStyleSheet[] = [];
  const create = document.createElement.bind(document);

  function styleElement(): HTMLElement {
    const sheet = new CSSStyleSheet();
    sheets.push(sheet);
    document.adoptedStyleSheets.push(sheet);
    const element = create("span");
    element.hidden = true;
    Object.defineProperty(element, "textContent", {
      set: (text: string) => sheet.replaceSync(text),
    });
    return element;
  }

  function createElement(name: string, options?: ElementCreationOptions): HTMLElement {
    if (name === "style") return styleElement();
    const element = create(name, options);
    if (name === "span") {
      element.setAttribute = (attribute, value) => {
        if (attribute === "style") element.style.cssText = value;
        else Element.prototype.setAttribute.call(element, attribute, value);
      };
    }
    return element;
  }

  Object.defineProperty(document, "createElement", { configurable: true, value: createElement });
  return () => {
    Reflect.deleteProperty(document, "createElement"); // the one of its prototype is there again
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => !sheets.includes(one));
  };
}
