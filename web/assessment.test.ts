import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Assessment, assess, FRESHNESS_ERROR_MS } from './assessment.ts';
import { FakeRegion } from './dev/fake-region.ts';
import type { RegionStatus } from './snapshot.ts';
import { deriveTopology } from './topology.ts';

function after(region: string, act: (fake: FakeRegion) => void): RegionStatus {
  const fake = new FakeRegion({
    region,
    regions: ['us-east', 'eu-west', 'ap-south'],
    startMs: 1_000_000,
    partitions: 2,
  });
  fake.advance(1000);
  act(fake);
  return fake.status();
}

function judge(status: RegionStatus): Assessment {
  return assess(status, deriveTopology(status));
}

function wait(fake: FakeRegion, seconds: number): void {
  for (let second = 0; second < seconds; second += 1) fake.advance(1000);
}

suite('assessment', () => {
  test('a healthy topology is one sentence', () => {
    assert.deepEqual(judge(after('us-east', (fake) => wait(fake, 5))), {
      severity: 'ok',
      sentence: 'us-east is hub of flights, epoch 3; all links connected.',
      problems: [],
    });
  });

  test('a cut link is named with its reason and since when, and explains its stale streams', () => {
    let cutAtMs = 0;
    const assessment = judge(
      after('eu-west', (fake) => {
        fake.cutLink('us-east', 'LINK_CLOSED: reset');
        cutAtMs = fake.nowMs;
        wait(fake, 60);
      }),
    );
    assert.equal(assessment.severity, 'error');
    assert.equal(assessment.sentence, 'us-east is hub of flights, epoch 3; the link to us-east is cut.');
    assert.deepEqual(assessment.problems, [
      {
        key: 'link/us-east',
        severity: 'error',
        title: 'The link to us-east is cut',
        detail: 'LINK_CLOSED: reset',
        sinceMs: cutAtMs,
      },
    ]);
  });

  test('all links cut', () => {
    const assessment = judge(
      after('us-east', (fake) => {
        fake.cutLink('eu-west');
        fake.cutLink('ap-south');
        wait(fake, 3);
      }),
    );
    assert.match(assessment.sentence, /; all links are cut\.$/);
  });

  test('a promotion, then the new hub with a tail', () => {
    const promoting = judge(
      after('eu-west', (fake) => {
        fake.killHub();
        wait(fake, 4);
      }),
    );
    assert.match(promoting.sentence, /^flights has no hub, last epoch 3; the link to us-east is cut/);
    assert.deepEqual(
      promoting.problems.map((problem) => problem.key),
      ['link/us-east', 'namespace/flights'],
    );
    const replaying = judge(
      after('eu-west', (fake) => {
        fake.killHub();
        wait(fake, 20);
        fake.returnHub();
        wait(fake, 2);
      }),
    );
    assert.equal(replaying.sentence, 'eu-west is hub of flights, epoch 4; all links connected.');
    assert.equal(replaying.severity, 'warning');
    assert.match(replaying.problems[0]?.title ?? '', /A tail of 1,280 changes is being replayed/);
  });

  test('a follower without a hub, a lost control store, a halted stream, stale data', () => {
    const status = after('eu-west', (fake) => wait(fake, 5));
    const [namespace] = status.namespaces;
    assert.ok(namespace !== undefined);
    const orphan = judge({ ...status, namespaces: [{ ...namespace, hub: null }] });
    assert.equal(orphan.problems[0]?.title, 'flights has no hub');
    const lost = judge({ ...status, control: { reachable: false, lastAnswerAgeMs: null } });
    assert.match(lost.problems[0]?.detail ?? '', /has not answered since this region started/);
    const halted = judge(
      after('eu-west', (fake) => {
        fake.haltStream('DEFINITION_UNDECODABLE');
        wait(fake, 60);
      }),
    );
    assert.deepEqual(
      halted.problems.map((problem) => problem.title),
      ['flights/0 from us-east is not applied any further'],
    );
    const stale = judge({
      ...status,
      streams: status.streams.map((stream) => ({ ...stream, freshnessMs: FRESHNESS_ERROR_MS, backlog: 7 })),
    });
    assert.deepEqual(
      stale.problems.map(({ severity, title }) => ({ severity, title })),
      [{ severity: 'error', title: 'Data from us-east is 30 s old' }],
    );
  });

  test('a namespace that every region writes has no hub, and names the members that are not heard', () => {
    const status = after('eu-west', (fake) => wait(fake, 5));
    const [namespace] = status.namespaces;
    assert.ok(namespace !== undefined);
    const active: typeof namespace = {
      ...namespace,
      replication: 'active-active',
      hub: null,
      role: 'active',
      accepting: true,
      members: [
        { region: 'eu-west', freshnessMs: 0 },
        { region: 'us-east', freshnessMs: 100 },
      ],
    };
    const well = judge({ ...status, namespaces: [active] });
    assert.deepEqual(well.problems, []);
    assert.match(well.sentence, /^every region accepts writes of flights;/);
    const lost = judge({ ...status, namespaces: [active], control: { reachable: false, lastAnswerAgeMs: null } });
    assert.match(lost.problems[0]?.detail ?? '', /Writes go on in every region/);
    const joining = judge({
      ...status,
      namespaces: [
        {
          ...active,
          role: 'joining',
          accepting: false,
          waitsFor: 'its streams are not vouched for',
          members: [{ region: 'us-east', freshnessMs: null }],
        },
      ],
    });
    assert.deepEqual(
      joining.problems.map(({ title }) => title),
      ['eu-west accepts no writes of flights yet', 'Nothing was heard of us-east for flights'],
    );
  });

  test('namespaces are named up to three and then counted', () => {
    const status = after('us-east', (fake) => wait(fake, 2));
    const [namespace] = status.namespaces;
    assert.ok(namespace !== undefined);
    const named = (count: number, hub: string | null = 'us-east') =>
      judge({
        ...status,
        namespaces: Array.from({ length: count }, (_, index) => ({ ...namespace, namespace: `n${index}`, hub })),
      }).sentence;
    assert.match(named(0), /^No namespace is defined yet;/);
    assert.match(named(2), /^us-east is hub of n0, epoch 3 and us-east is hub of n1, epoch 3;/);
    assert.match(named(4), /^All 4 namespaces have a region that accepts writes;/);
    assert.match(named(4, null), /^4 of 4 namespaces have no hub;/);
  });
});
