import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError, type ErrorCode } from '#core/errors';
import { exitCodeOf, UsageError } from './exit-codes.ts';
import { describe } from './print-error.ts';

test('exit codes tell what a script can do', () => {
  const expected: [ErrorCode, number][] = [
    ['CONFIG_INVALID', 2],
    ['DEFINITION_INVALID', 2],
    ['VIEW_NOT_FOUND', 2],
    ['PORT_IN_USE', 1],
    ['DATA_IN_USE', 1],
    ['AUDIT_BROKEN', 1],
    ['FAILOVER_REFUSED', 1],
    ['UNAUTHENTICATED', 1],
    ['INTERNAL', 1],
    ['PEER_UNAVAILABLE', 3],
    ['NO_HUB', 3],
    ['OUTCOME_UNKNOWN', 3],
    ['CONTROL_UNAVAILABLE', 3],
  ];
  for (const [code, exit] of expected) assert.equal(exitCodeOf(new AntipodeError(code, '')), exit, code);
  assert.equal(exitCodeOf(new UsageError('', '')), 2);
  assert.equal(exitCodeOf(new TypeError('a fault of ours')), 1);
});

test('every error is described with what to do', () => {
  assert.deepEqual(describe(new UsageError('no such thing', 'Try another.')), {
    code: 'USAGE',
    message: 'no such thing',
    remedy: 'Try another.',
  });
  assert.deepEqual(describe(new AntipodeError('ROW_INVALID', 'bad', { where: 'row 3', remedy: 'Fix it.' })), {
    code: 'ROW_INVALID',
    message: 'bad',
    where: 'row 3',
    remedy: 'Fix it.',
  });
  assert.equal(describe(new TypeError('x')).code, 'INTERNAL');
});
