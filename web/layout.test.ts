import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { layoutTopology, separateLabels } from './layout.ts';

suite('layout of the topology', () => {
  for (const [width, countMax] of [
    [336, 12],
    [480, 12],
    [700, 12],
  ] as const) {
    test(`up to ${countMax} regions lie in ${width} pixels without covering each other`, () => {
      for (let count = 1; count <= countMax; count += 1) {
        const { centres, height, nodeWidth, nodeHeight } = layoutTopology({ count, width, heightMin: 200 });
        assert.equal(centres.length, count);
        centres.forEach((a, i) => {
          assert.ok(a.x - nodeWidth / 2 >= 0 && a.x + nodeWidth / 2 <= width, `${count}: x of ${i}`);
          assert.ok(a.y - nodeHeight / 2 >= 0 && a.y + nodeHeight / 2 <= height, `${count}: y of ${i}`);
          centres.slice(0, i).forEach((b, j) => {
            const apart = Math.abs(a.x - b.x) >= nodeWidth || Math.abs(a.y - b.y) >= nodeHeight;
            assert.ok(apart, `${count} regions: ${i} covers ${j}`);
          });
        });
      }
    });
  }

  test('the serving region is at the top', () => {
    const { centres } = layoutTopology({ count: 5, width: 600, heightMin: 300 });
    assert.equal(Math.min(...centres.map((centre) => centre.y)), centres[0]?.y);
  });

  test('labels move apart only as far as needed, and stay inside', () => {
    const label = (x: number, y: number) => ({ centre: { x, y }, width: 120, height: 38 });
    assert.deepEqual(separateLabels([label(100, 50), label(300, 50)], 400), [
      { x: 100, y: 50 },
      { x: 300, y: 50 },
    ]);
    const [a, b] = separateLabels([label(150, 50), label(180, 60)], 336);
    assert.equal((b?.x ?? 0) - (a?.x ?? 0), 126);
    const [edge] = separateLabels([label(10, 50)], 336);
    assert.equal(edge?.x, 61);
  });
});
