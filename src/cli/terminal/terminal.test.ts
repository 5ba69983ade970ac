import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatCount, formatMs, formatValue } from './format.ts';
import { formatTable } from './table.ts';

test('durations, counts, sizes and values as people read them', () => {
  assert.deepEqual([0, 740, 3_240, 59_600, 250_000, 7_500_000].map(formatMs), [
    '0 ms',
    '740 ms',
    '3.2 s',
    '1 min 0 s',
    '4 min 10 s',
    '2 h 05 min',
  ]);
  assert.equal(formatCount(1_234_567.8), '1,234,568');
  assert.deepEqual([512, 1536, 3 * 1024 ** 3].map(formatBytes), ['512 B', '1.5 KiB', '3.0 GiB']);
  assert.deepEqual(['text', null, 1.5, 2n ** 63n, [1n, 2n], true].map(formatValue), [
    'text',
    'null',
    '1.5',
    '9223372036854775808',
    '[1,2]',
    'true',
  ]);
});

test('columns are as wide as their widest cell, colours not counted', () => {
  const rows = [
    ['us-east', '\x1b[32mserving\x1b[39m', '7'],
    ['eu', 'x', '1,000'],
  ];
  assert.deepEqual(formatTable([{ title: 'REGION' }, { title: 'STATE' }, { title: 'ROWS', right: true }], rows), [
    'REGION   STATE     ROWS',
    'us-east  \x1b[32mserving\x1b[39m      7',
    'eu       x        1,000',
  ]);
});
