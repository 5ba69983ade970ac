import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { engineSocketPath } from './compose-region.ts';

const LONG = `/${'data/'.repeat(20)}`;
const UID = process.getuid?.() ?? 0;

suite('the socket of an engine whose data path is long', () => {
  const before = process.env['TMPDIR'];
  let base = '';
  let folder = '';

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'antipode-socket-'));
    folder = join(base, `antipode-${UID}`);
    process.env['TMPDIR'] = base;
  });
  afterEach(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    rmSync(base, { recursive: true, force: true });
  });

  test('lies in a folder of this user alone, which is made once', () => {
    assert.equal(engineSocketPath('/short'), '/short/engine.sock');
    const path = engineSocketPath(LONG);
    assert.equal(dirname(path), folder);
    assert.equal(lstatSync(folder).mode & 0o777, 0o700);
    assert.equal(engineSocketPath(LONG), path);
    assert.notEqual(engineSocketPath(`${LONG}/other`), path);
  });

  const prepared: Readonly<Record<string, () => void>> = {
    'a folder that others may enter': () => {
      mkdirSync(folder);
      chmodSync(folder, 0o755);
    },
    'a link to a folder': () => {
      mkdirSync(join(base, 'elsewhere'), { mode: 0o700 });
      symlinkSync(join(base, 'elsewhere'), folder);
    },
    'a file': () => writeFileSync(folder, '', { mode: 0o700 }),
  };
  for (const [what, prepare] of Object.entries(prepared))
    test(`is refused in ${what}`, () => {
      prepare();
      assert.throws(() => engineSocketPath(LONG), { name: 'AntipodeError', code: 'UNSAFE_BINDING', where: folder });
    });

  test('is refused in a folder of another user', { skip: UID !== 0 && 'only root can make one' }, () => {
    mkdirSync(folder, { mode: 0o700 });
    chownSync(folder, 12_345, 12_345);
    assert.throws(() => engineSocketPath(LONG), { code: 'UNSAFE_BINDING' });
  });
});
