import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planFollowing, type Source } from '#region/replicate/follow-plan';

const source = (peer: string, over: Partial<Source>): Source => ({
  peer,
  start: 0,
  head: 37,
  vouches: false,
  willing: true,
  state: 'none',
  quietMs: 0,
  ...over,
});

const plan = (head: number, sources: readonly Source[]) =>
  planFollowing({ origin: 'eu-west', sealed: true, head, sources });

test('a relay that has more is kept, and left for another once its log begins above what comes next', () => {
  const other = source('ap-south', {});
  const followed = source('us-east', { state: 'following' });
  assert.deepEqual(plan(33, [other, followed]), { follow: [], drop: [] });
  assert.deepEqual(plan(33, [other, { ...followed, start: 35 }]), { follow: ['ap-south'], drop: ['us-east'] });
  assert.deepEqual(plan(35, [other, { ...followed, start: 35 }]), { follow: [], drop: [] });
});

test('nobody is followed whose log begins above what comes next', () => {
  const followed = source('us-east', { start: 35, state: 'following' });
  assert.deepEqual(plan(33, [followed]), { follow: [], drop: ['us-east'] });
  assert.deepEqual(plan(33, [{ ...followed, state: 'none' }]), { follow: [], drop: [] });
});
