import type { z } from 'zod';
import { nearest } from '#core/config/nearest';
import type { ErrorCode } from '#core/errors';

/** One fault of a document, by the path to the value at fault; whoever read the text turns the path into line and column. */
export interface ConfigIssue {
  readonly path: readonly (string | number)[];
  /** The fault is the key itself, not its value: point at the key. */
  readonly atKey?: boolean;
  readonly message: string;
  readonly remedy?: string;
  /** When it is another one than CONFIG_INVALID or DEFINITION_INVALID. */
  readonly code?: ErrorCode;
}

export type Validated<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly issues: readonly ConfigIssue[] };

/** More faults than this in one file help nobody. */
const ISSUES_MAX = 50;

/** Validates with a zod schema and says in plain words what is wrong, with the nearest allowed key or value. */
export function validate<T>(schema: z.ZodType<T>, raw: unknown): Validated<T> {
  const allowedKeys = new Map<string, readonly string[]>();
  const result = schema.safeParse(raw, {
    reportInput: true,
    error: (issue) => {
      if (issue.code === 'unrecognized_keys') allowedKeys.set(pathKey(issue.path ?? []), keysOf(issue.inst));
      return undefined;
    },
  });
  if (result.success) return { ok: true, value: result.data };
  const issues = result.error.issues.flatMap((issue) => explain(issue, allowedKeys));
  return { ok: false, issues: issues.slice(0, ISSUES_MAX) };
}

function pathKey(path: readonly PropertyKey[]): string {
  return JSON.stringify(path.map(String));
}

function keysOf(schema: unknown): readonly string[] {
  const shape = (schema as { readonly _zod?: { readonly def?: { readonly shape?: object } } } | undefined)?._zod?.def
    ?.shape;
  return shape === undefined ? [] : Object.keys(shape);
}

function explain(issue: z.core.$ZodIssue, allowedKeys: ReadonlyMap<string, readonly string[]>): ConfigIssue[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  switch (issue.code) {
    case 'unrecognized_keys': {
      const allowed = allowedKeys.get(pathKey(issue.path)) ?? [];
      return issue.keys.map((key) => ({
        path: [...path, key],
        atKey: true,
        message: `unknown key ${quote(key)}${didYouMean(key, allowed)}`,
        ...(allowed.length === 0 ? {} : { remedy: `Keys allowed here: ${allowed.join(', ')}.` }),
      }));
    }
    case 'invalid_type':
      if (issue.input === undefined) {
        const key = path.at(-1);
        return [
          {
            path: path.slice(0, -1),
            message: key === undefined ? 'the document is empty' : `the key ${quote(String(key))} is missing`,
            remedy:
              key === undefined
                ? 'Write the keys that the JSON Schema lists.'
                : `Add ${key}: ${article(issue.expected)}.`,
          },
        ];
      }
      return [{ path, message: `expected ${article(issue.expected)}, got ${kindOf(issue.input)}` }];
    case 'invalid_value': {
      const allowed = issue.values.map(String);
      const text = typeof issue.input === 'string' ? issue.input : undefined;
      const found = text === undefined ? kindOf(issue.input) : quote(text);
      if (issue.input === undefined) {
        return [
          {
            path: path.slice(0, -1),
            message: `the key ${quote(String(path.at(-1)))} is missing`,
            remedy: allowedValues(allowed),
          },
        ];
      }
      return [
        {
          path,
          message: `${found} is not allowed${text === undefined ? '' : didYouMean(text, allowed)}`,
          remedy: allowedValues(allowed),
        },
      ];
    }
    case 'invalid_key':
      // The key schema's own words say what a name has to look like.
      return [{ path, atKey: true, message: issue.issues[0]?.message ?? 'the key is not allowed' }];
    case 'too_small':
    case 'too_big':
    case 'invalid_format':
    case 'invalid_union':
    case 'not_multiple_of':
    case 'invalid_element':
    case 'custom':
      if (issue.input === undefined && issue.code === 'invalid_union') {
        return [{ path: path.slice(0, -1), message: `the key ${quote(String(path.at(-1)))} is missing` }];
      }
      return [{ path, message: issue.message }];
  }
}

export function didYouMean(word: string, allowed: readonly string[]): string {
  const guess = nearest(word, allowed);
  return guess === undefined ? '' : `; did you mean ${quote(guess)}?`;
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function allowedValues(allowed: readonly string[]): string {
  return `Allowed: ${allowed.join(', ')}.`;
}

const NAMES_OF_KINDS: Record<string, string> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  null: 'nothing',
};

function article(expected: string): string {
  return NAMES_OF_KINDS[expected] ?? expected;
}

function kindOf(input: unknown): string {
  if (input === null || input === undefined) return 'nothing';
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object') return 'a mapping';
  if (typeof input === 'string') return `text ${quote(input)}`;
  if (typeof input === 'number' && !Number.isFinite(input)) return 'a number that is not finite';
  return String(input);
}
