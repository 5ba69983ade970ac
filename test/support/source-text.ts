// Reads TypeScript source as text: enough of a scanner to tell code from comments, strings and regular expressions.

/** After one of these a slash begins a regular expression; after anything else it divides. */
const BEFORE_REGEX =
  /(^|[=([{,;:!&|?+\-*%<>~^]|\b(return|typeof|case|in|of|do|else|void|await|yield|throw|new|delete))$/;

/**
 * The source with the contents of comments, strings, templates and regular expressions replaced by spaces. Length and
 * lines stay as they were, so an index into the result is an index into the source. Code inside `${}` stays.
 */
export function codeOnly(source: string): string {
  const out = Array.from({ length: source.length }, (_, i) => source.charAt(i));
  const blank = (from: number, to: number): void => {
    for (let i = from; i < to && i < out.length; i++) if (out[i] !== '\n') out[i] = ' ';
  };

  /** Skips code from `at`; inside a template's `${` it stops at the brace that closes it. */
  const code = (at: number, nested: boolean): number => {
    let depth = 0;
    let i = at;
    while (i < source.length) {
      const two = source.slice(i, i + 2);
      const char = source[i] ?? '';
      if (two === '//') i = to(i, endOfLine(source, i));
      else if (two === '/*') i = to(i, after(source, '*/', i + 2));
      else if (char === "'" || char === '"') i = inner(i, endOfQuoted(source, i));
      else if (char === '`') i = template(i + 1);
      else if (
        char === '/' &&
        BEFORE_REGEX.test(
          out
            .slice(Math.max(0, i - 40), i)
            .join('')
            .trimEnd(),
        )
      ) {
        i = inner(i, endOfRegex(source, i));
      } else {
        if (char === '{') depth += 1;
        if (char === '}') {
          if (nested && depth === 0) return i + 1;
          depth -= 1;
        }
        i += 1;
      }
    }
    return i;
  };
  const to = (from: number, end: number): number => {
    blank(from, end);
    return end;
  };
  const inner = (from: number, end: number): number => {
    blank(from + 1, end - 1);
    return end;
  };
  /** Blanks a template from behind its opening backtick, and reads the code in its placeholders. */
  const template = (at: number): number => {
    let i = at;
    while (i < source.length && source[i] !== '`') {
      if (source.startsWith('${', i)) {
        i = code(i + 2, true);
      } else {
        const width = source[i] === '\\' ? 2 : 1;
        blank(i, i + width);
        i += width;
      }
    }
    return i + 1;
  };

  code(0, false);
  return out.join('');
}

function after(source: string, mark: string, from: number): number {
  const at = source.indexOf(mark, from);
  return at < 0 ? source.length : at + mark.length;
}

function endOfLine(source: string, from: number): number {
  const at = source.indexOf('\n', from);
  return at < 0 ? source.length : at;
}

function endOfQuoted(source: string, from: number): number {
  const quote = source[from];
  let i = from + 1;
  while (i < source.length && source[i] !== quote && source[i] !== '\n') i += source[i] === '\\' ? 2 : 1;
  return i + 1;
}

function endOfRegex(source: string, from: number): number {
  let inClass = false;
  let i = from + 1;
  while (i < source.length && source[i] !== '\n' && (inClass || source[i] !== '/')) {
    if (source[i] === '[') inClass = true;
    if (source[i] === ']') inClass = false;
    i += source[i] === '\\' ? 2 : 1;
  }
  return i + 1;
}

/** Line number, from 1, of an index into the source. */
export function lineAt(source: string, index: number): number {
  let line = 1;
  for (let i = source.indexOf('\n'); i >= 0 && i < index; i = source.indexOf('\n', i + 1)) line += 1;
  return line;
}
