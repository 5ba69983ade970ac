/** A status of a large topology stays far below this; a longer message is a fault of the other side. */
export const MESSAGE_CHARACTERS_MAX = 8 * 1024 * 1024;

/**
 * Server-sent events from text in pieces of any size. Only `data` matters here: names, ids and comments are passed over.
 * (The browser's EventSource cannot carry an Authorization header, so the page reads the stream with fetch.)
 */
export class EventStreamParser {
  #rest = '';
  #data: string[] = [];
  #dataCharacters = 0;

  /** The messages completed by this piece, in order. Throws when a message exceeds its limit. */
  push(text: string): string[] {
    const messages: string[] = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') this.#finish(messages);
      else this.#field(line);
    }
    if (this.#rest.length + this.#dataCharacters > MESSAGE_CHARACTERS_MAX)
      throw new Error('the region sent a status that is too large');
    return messages;
  }

  #field(line: string): void {
    const match = /^data(?:: ?(.*))?$/s.exec(line);
    if (match === null) return;
    const value = match[1] ?? '';
    this.#data.push(value);
    this.#dataCharacters += value.length + 1;
  }

  #finish(messages: string[]): void {
    if (this.#data.length > 0) messages.push(this.#data.join('\n'));
    this.#data = [];
    this.#dataCharacters = 0;
  }
}
