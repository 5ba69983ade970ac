// The house rules that the linter and the layer check cannot express, held over the text of the source.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { suite, test } from 'node:test';
import { codeOnly, lineAt } from './support/source-text.ts';

const LINES_MAX = 500;

/** Put together from halves, so that this file does not hold what it forbids. */
const NOTE_TO_SELF = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`, 'g');

interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** The text with comments and literals blanked. */
  readonly code: string;
}

interface Ban {
  readonly pattern: RegExp;
  readonly remedy: string;
}

const files: readonly SourceFile[] = globSync('{src,web,examples,bench,scripts,test}/**/*.{ts,js,mjs}', {
  exclude: ['**/node_modules/**', '**/dist/**', '**/vendor/**'],
})
  .sort()
  .map((path) => {
    const text = readFileSync(path, 'utf8');
    return { path, text, code: codeOnly(text) };
  });

const isTest = ({ path }: SourceFile): boolean =>
  /\.(test|contract|fixture)\.ts$/.test(path) || /(^|\/)(testing|testdata)\//.test(path) || path.startsWith('test/');
const inSrc = ({ path }: SourceFile): boolean => path.startsWith('src/');
const isEngine = ({ path }: SourceFile): boolean => /^src\/(core|ports|region)\//.test(path);

/** Every place of `among` where a ban holds, as `path:line what: remedy`. */
function violations(among: readonly SourceFile[], bans: readonly Ban[], of: 'code' | 'text' = 'code'): string[] {
  return among.flatMap((file) =>
    bans.flatMap(({ pattern, remedy }) =>
      [...file[of].matchAll(pattern)].map(
        (match) => `${file.path}:${lineAt(file.text, match.index)} ${match[0].trim()}: ${remedy}`,
      ),
    ),
  );
}

function none(found: readonly string[]): void {
  assert.equal(found.length, 0, `\n${found.join('\n')}\n`);
}

suite('house rules', () => {
  test('there is source to look at', () => {
    assert.ok(files.some(inSrc));
  });

  test('the engine reads neither clock nor chance and sets no timer', () => {
    const time = 'time arrives through the Clock port.';
    const chance = 'randomness arrives through the Random port.';
    none(
      violations(
        files.filter((file) => isEngine(file) && !isTest(file)),
        [
          { pattern: /\bDate\s*\.\s*now\b/g, remedy: time },
          { pattern: /\bnew\s+Date\s*(\(\s*\)|(?=[;,)\]}\s]))/g, remedy: time },
          { pattern: /(?<!new\s+)(?<![\w.$])Date\s*\(/g, remedy: time },
          { pattern: /\bMath\s*\.\s*random\b/g, remedy: chance },
          { pattern: /\bAbortSignal\s*\.\s*timeout\b/g, remedy: time },
          { pattern: /\bglobalThis\b/g, remedy: 'the engine has no surroundings: use a port.' },
          { pattern: /\blocaleCompare\b|\btoLocale\w+/g, remedy: 'the result differs from machine to machine.' },
        ],
      ),
    );
    none(
      violations(
        files.filter((file) => isEngine(file) && !isTest(file)),
        [
          {
            pattern: /\* as \w+ from 'node:crypto'/g,
            remedy: 'import its functions by name; the random ones are barred.',
          },
        ],
        'text',
      ),
    );
  });

  test('no `any`', () => {
    none(
      violations(files, [
        {
          pattern: /(?:[:<,|&(=]|\bas|\bextends)\s*any\b(?!\s*[(:.?])|\bany\[\]/g,
          remedy: 'say what it is, or `unknown`.',
        },
      ]),
    );
  });

  test(`no file of src is over ${LINES_MAX} lines`, () => {
    none(
      files
        .filter((file) => inSrc(file) && !isTest(file))
        .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
        .filter(({ lines }) => lines > LINES_MAX)
        .map(({ path, lines }) => `${path} has ${lines} lines: it holds more than one concept.`),
    );
  });

  test('no test is singled out, and none awaits nothing', () => {
    none(
      violations(files.filter(isTest), [
        {
          pattern: /\b(test|it|suite|describe)\s*\.\s*only\b|\bonly\s*:\s*true\b/g,
          remedy: 'the other tests would not run.',
        },
        {
          pattern: /^[ \t]*assert\s*\.\s*(rejects|doesNotReject)\b/gm,
          remedy: 'a promise: await it, or the test passes whatever happens.',
        },
      ]),
    );
  });

  test('no note to self', () => {
    none(violations(files, [{ pattern: NOTE_TO_SELF, remedy: 'do it, or open an issue.' }], 'text'));
  });

  test('file and folder names are kebab-case', () => {
    const name = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/;
    none(
      files
        .filter(({ path }) => !path.split('/').every((part) => name.test(part)))
        .map(({ path }) => `${path}: lower case, words joined by hyphens.`),
    );
  });

  test('no barrel inside a layer', () => {
    none(
      files
        .filter((file) => inSrc(file) && /^index\./.test(basename(file.path)))
        .map(({ path }) => `${path}: import the file that holds the concept.`),
    );
  });

  test('internal imports go through the imports map', () => {
    none(
      violations(
        files.filter(inSrc),
        [
          { pattern: /\bfrom '(\.\.\/){2,}[^']*'/g, remedy: 'write #layer/path instead of a ladder.' },
          { pattern: /\bfrom '#[^']*\.(ts|js)'/g, remedy: '#layer/path takes no extension.' },
        ],
        'text',
      ),
    );
  });

  test('the dashboard takes nothing but types from src', () => {
    none(
      violations(
        files.filter((file) => /^web\/(?!dev\/)/.test(file.path) && !isTest(file)),
        [
          {
            pattern: /^\s*(import|export)\s+(?!type\b)[^;]*?from '(#|(\.\.\/)+src\/)[^']*'/gm,
            remedy: 'write `import type`: a browser cannot load it.',
          },
        ],
        'text',
      ),
    );
  });
});

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: placeholders are what these cases are about.
suite('reading source as text', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['a line comment', 'a(); // b();\nc();', 'a();        \nc();'],
    ['a block comment', 'a /* b\nc */ d', 'a     \n     d'],
    ['a string', 'f(\'any\', "//");', 'f(\'   \', "  ");'],
    ['an escaped quote', "f('\\'', any);", "f('  ', any);"],
    ['a template', 'f(`any ${any} ${`x${y}`} b`);', 'f(`    ${any} ${` ${y}`}  `);'],
    ['a regular expression', "x = /[/']any/g; y", 'x = /       /g; y'],
    ['a division', 'a / b / any', 'a / b / any'],
    ['an emoji, which is two units', "'🌍' + any", "'  ' + any"],
  ];
  for (const [name, source, expected] of cases) {
    test(name, () => assert.equal(codeOnly(source), expected));
  }

  test('lines count from one', () => {
    assert.equal(lineAt('a\nb\nc', 0), 1);
    assert.equal(lineAt('a\nb\nc', 2), 2);
    assert.equal(lineAt('a\nb\nc', 4), 3);
  });
});
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: placeholders are what these cases are about.
