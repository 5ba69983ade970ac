/** What happened, as a hash over every event, and as text for whoever asks for it. */
export class Trace {
  readonly #print: ((line: string) => void) | undefined;
  readonly #known = new Map<string, number>();
  #high = 0x811c9dc5;
  #low = 0x9dc5811c;

  constructor(print?: (line: string) => void) {
    this.#print = print;
  }

  get verbose(): boolean {
    return this.#print !== undefined;
  }

  /** Sixteen hexadecimal digits; equal for equal histories. */
  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  event(atMs: number, owner: string, label: string, detail: number): void {
    this.#mix(Math.floor(atMs * 1000));
    this.#mix(this.#hashOf(owner));
    this.#mix(this.#hashOf(label));
    this.#mix(detail);
    this.#print?.(`${atMs.toFixed(3).padStart(12)}  ${owner.padEnd(10)} ${label}${detail === 0 ? '' : ` ${detail}`}`);
  }

  /** Something worth reading, such as an outcome or a fault. */
  note(atMs: number, owner: string, text: string): void {
    this.#mix(hashText(text));
    this.#print?.(`${atMs.toFixed(3).padStart(12)}  ${owner.padEnd(10)} * ${text}`);
  }

  #hashOf(text: string): number {
    let hash = this.#known.get(text);
    if (hash === undefined) {
      hash = hashText(text);
      this.#known.set(text, hash);
    }
    return hash;
  }

  #mix(value: number): void {
    this.#high = Math.imul(this.#high ^ (value | 0), 0x01000193);
    this.#high ^= this.#high >>> 15;
    this.#low = Math.imul(this.#low ^ Math.floor(value / 0x1_0000_0000) ^ this.#high, 0x85ebca6b);
    this.#low ^= this.#low >>> 13;
  }
}

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
