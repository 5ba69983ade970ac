/** The standard's way to put a text into JSON as it is; the compiler's library lags behind. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** JSON in which a bigint is the integer it is, beyond 2^53 too: `{ id: 2n ** 60n }` becomes `{"id":1152921504606846976}`. */
export function exactJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(
    value,
    (_key, part: unknown) => (typeof part === 'bigint' ? rawJSON(part.toString()) : part),
    indent,
  );
  return text ?? 'null';
}
