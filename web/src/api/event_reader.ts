/** The format of server-sent events (HTML standard, section 9.2.6), as far as our server writes it. */

export interface Message {
  kind: string;
  data: string;
}

/** Takes text as it arrives, cut anywhere, and gives whole messages. */
export class EventReader {
  #rest = "";

  feed(text: string): Message[] {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop() ?? "";
    return blocks.flatMap((block) => {
      const lines = block.split("\n");
      const data = lines.filter((one) => one.startsWith("data: ")).map((one) => one.slice(6));
      const kind = lines.find((one) => one.startsWith("event: "))?.slice(7) ?? "message";
      return data.length > 0 ? [{ kind, data: data.join("\n") }] : []; // a comment keeps the line alive
    });
  }
}
