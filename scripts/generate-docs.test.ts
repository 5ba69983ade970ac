import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { suite, test } from 'node:test';
import { referencePages } from './generate-docs.ts';

const root = join(import.meta.dirname, '..');

test('the reference pages are those of the code', () => {
  const folder = join(root, 'docs', 'reference');
  const pages = referencePages();
  assert.deepEqual(readdirSync(folder).sort(), [...pages.keys()].sort());
  for (const [name, text] of pages) {
    const remedy = 'run: node --conditions=antipode-source scripts/generate-docs.ts';
    assert.equal(readFileSync(join(folder, name), 'utf8'), text, `${name} is out of date; ${remedy}`);
  }
});

suite('links of the documentation', () => {
  const files = globSync('{README,CONTRIBUTING,CHANGELOG}.md', { cwd: root }).concat(
    globSync('docs/**/*.md', { cwd: root }),
  );
  const texts = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));

  /** The anchor that a heading gets on the usual hosts. */
  const anchors = (text: string): Set<string> =>
    new Set(
      [...withoutCode(text).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        (heading ?? '')
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-'),
      ),
    );

  for (const [file, text] of texts) {
    test(file, () => {
      const dead: string[] = [];
      for (const [, target = ''] of withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const found = path === '' ? file : normalize(join(dirname(file), path));
        if (!existsSync(join(root, found))) dead.push(target);
        else if (anchor !== undefined && !anchors(readFileSync(join(root, found), 'utf8')).has(anchor))
          dead.push(target);
      }
      assert.deepEqual(dead, []);
    });

    test(`${file}: source files named in it exist`, () => {
      const named = [...text.matchAll(/`((?:src|scripts|test|examples|web|schemas)\/[\w./-]+)`/g)].map(
        (match) => match[1] ?? '',
      );
      assert.deepEqual(
        named.filter((path) => !existsSync(join(root, path))),
        [],
      );
    });
  }
});

function withoutCode(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, '');
}
