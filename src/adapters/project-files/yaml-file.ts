import { type FileHandle, open } from 'node:fs/promises';
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from 'yaml';
import type { ConfigIssue } from '#core/config/issue';
import { AntipodeError, type ErrorCode } from '#core/errors';

/** Larger configuration is a mistake; hostile text of this size parses within two seconds. */
export const FILE_BYTES_MAX = 256 * 1024;
/** More faults than this in one file help nobody. */
const SYNTAX_ISSUES_MAX = 20;
/** References to anchors in one file, and how far they may multiply: enough for people, too few for a bomb. */
const ALIASES_MAX = 100;

/** A fault with its place in a file. */
export interface FileIssue {
  readonly file: string;
  /** From 1; 0 where the fault concerns the file as a whole. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly remedy?: string;
  readonly code?: ErrorCode;
}

/** A parsed YAML file that still knows where each value stands. */
export interface YamlFile {
  readonly file: string;
  readonly value: unknown;
  /** Turns a fault of the value into a fault of the file. */
  locate(issue: ConfigIssue): FileIssue;
}

const OPTIONS = { prettyErrors: false, stringKeys: true, uniqueKeys: true, strict: true, merge: false };

/** Parses YAML 1.2 without its dangers. Returns the faults of its syntax, or the file. */
export function parseYaml(file: string, text: string): YamlFile | readonly FileIssue[] {
  const lines = new LineCounter();
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  try {
    return understand(file, parseDocument(text, { lineCounter: lines, ...OPTIONS }), at);
  } catch (caught) {
    // Deep nesting overflows the stack of the parser, too many aliases end the expansion.
    const reason =
      caught instanceof RangeError
        ? 'nested too deeply'
        : caught instanceof Error
          ? firstLine(caught.message)
          : String(caught);
    return [{ file, line: 0, column: 0, message: `YAML: ${reason}` }];
  }
}

function understand(file: string, document: Document, at: Position): YamlFile | readonly FileIssue[] {
  const syntax = [...document.errors, ...document.warnings];
  if (syntax.length > 0)
    return syntax
      .slice(0, SYNTAX_ISSUES_MAX)
      .map((error) => ({ file, ...at(error.pos[0]), message: `YAML: ${firstLine(error.message)}` }));
  const unsafe = unsafeParts(document);
  if (unsafe.length > 0) return unsafe.map(({ offset, message }) => ({ file, ...at(offset), message }));
  const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
  return { file, value, locate: (issue) => locate(file, document, at, issue) };
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] as string;
}

/** What the parser lets through: keys that reach the prototype of every object, and aliases of nothing. */
function unsafeParts(document: Document): { readonly offset: number; readonly message: string }[] {
  const found: { readonly offset: number; readonly message: string }[] = [];
  let aliases = 0;
  visit(document, {
    Pair: (_, pair) => {
      if (!isScalar(pair.key) || pair.key.value !== '__proto__') return;
      found.push({ offset: startOf(pair.key), message: 'the key "__proto__" is not allowed' });
    },
    Alias: (_, alias) => {
      aliases += 1;
      if (aliases > ALIASES_MAX) {
        // Resolving takes time in the size of the document, for each of them.
        found.push({ offset: startOf(alias), message: `YAML: more than ${ALIASES_MAX} aliases` });
        return visit.BREAK;
      }
      if (alias.resolve(document) === undefined) {
        found.push({ offset: startOf(alias), message: `YAML: nothing is anchored as &${alias.source}` });
      }
      return undefined;
    },
  });
  return found;
}

type Position = (offset: number) => { readonly line: number; readonly column: number };

/** Follows the path as far as the document has it: what is missing is reported where it should be. */
function locate(file: string, document: Document, at: Position, issue: ConfigIssue): FileIssue {
  let node: unknown = document.contents;
  let offset = isNode(node) ? startOf(node) : 0;
  for (const [depth, part] of issue.path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part),
      );
      if (pair === undefined) break;
      const keyOffset = startOf(pair.key as Node);
      node = pair.value;
      const pointAtKey =
        (issue.atKey === true && depth === issue.path.length - 1) || !isNode(node) || isMap(node) || isSeq(node);
      offset = pointAtKey ? keyOffset : startOf(node as Node);
    } else if (isSeq(node)) {
      const item = node.items[Number(part)];
      if (!isNode(item)) break;
      node = item;
      offset = startOf(item);
    } else break;
  }
  return {
    file,
    ...at(offset),
    message: issue.message,
    ...(issue.remedy === undefined ? {} : { remedy: issue.remedy }),
    ...(issue.code === undefined ? {} : { code: issue.code }),
  };
}

function startOf(node: Node): number {
  return node.range?.[0] ?? 0;
}

/** Text of a configuration file; undefined when there is none. Throws when it is too large, not UTF-8 or not readable. */
export async function readConfigText(path: string, file: string, code: ErrorCode): Promise<string | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AntipodeError(code, `${file} cannot be read: ${(cause as Error).message}`, {
      where: file,
      cause,
      remedy: 'Check the permissions of the file.',
    });
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new AntipodeError(code, `${file} is not a file`, { where: file });
    if (stat.size > FILE_BYTES_MAX) {
      throw new AntipodeError(code, `${file} has ${stat.size} bytes; at most ${FILE_BYTES_MAX} are allowed`, {
        where: file,
        remedy: 'Split the file.',
      });
    }
    // Bounded by one byte more than allowed: the file may have grown since.
    const buffer = Buffer.alloc(FILE_BYTES_MAX + 1);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    if (bytesRead > FILE_BYTES_MAX)
      throw new AntipodeError(code, `${file} has more than ${FILE_BYTES_MAX} bytes`, { where: file });
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, bytesRead));
    } catch (cause) {
      throw new AntipodeError(code, `${file} is not UTF-8 text`, {
        where: file,
        cause,
        remedy: 'Save the file as UTF-8.',
      });
    }
  } finally {
    await handle.close();
  }
}

/** All faults as one error: the first is the error, the rest is listed in its message. */
export function issuesError(code: ErrorCode, issues: readonly FileIssue[]): AntipodeError {
  const ordered = [...issues].sort((a, b) =>
    a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column,
  );
  const [first, ...rest] = ordered as [FileIssue, ...FileIssue[]];
  const listed = rest.map(
    (issue) => `\n  ${whereOf(issue)}: ${issue.message}${issue.remedy === undefined ? '' : ` (${issue.remedy})`}`,
  );
  const more = rest.length === 0 ? '' : `\n${rest.length} more:${listed.join('')}`;
  return new AntipodeError(first.code ?? code, `${first.message}${more}`, {
    where: whereOf(first),
    ...(first.remedy === undefined ? {} : { remedy: first.remedy }),
  });
}

function whereOf(issue: FileIssue): string {
  return issue.line === 0 ? issue.file : `${issue.file}:${issue.line}:${issue.column}`;
}
