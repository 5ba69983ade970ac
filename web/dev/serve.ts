/**
 * Serves the dashboard over a region that does not exist, in a loop of normal life, a cut link and a failover.
 *
 *   node --conditions=antipode-source web/dev/serve.ts [--port 8088] [--region us-east] [--token secret]
 *
 * Sources are read again at each page load.
 */
import { parseArgs } from 'node:util';
import { FakeRegion } from './fake-region.ts';
import { DevServer } from './server.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8088' },
    region: { type: 'string', default: 'eu-west' },
    token: { type: 'string' },
  },
});

/** Seconds into the loop, and what happens then. */
const SCENARIO: readonly (readonly [number, (region: FakeRegion) => void])[] = [
  [40, (region) => region.cutLink('ap-south')],
  [75, (region) => region.healLink('ap-south')],
  [90, (region) => region.quarantineRow()],
  [110, (region) => region.killHub()],
  [150, (region) => region.returnHub()],
];
const LOOP_S = 240;
const BACKGROUND_S = 240;

function begin(): FakeRegion {
  const regions = ['us-east', 'eu-west', 'ap-south'];
  const startMs = Date.now() - BACKGROUND_S * 1000;
  return new FakeRegion({ region: values.region, regions, startMs, partitions: 2 });
}

const server = new DevServer({ region: begin(), token: values.token ?? null });
server.runFor(BACKGROUND_S);
const address = await server.listen(Number(values.port));
console.log(`${address}/${values.token === undefined ? '' : `#token=${values.token}`}`);

let second = 0;
setInterval(() => {
  for (const [at, act] of SCENARIO) if (at === second % LOOP_S) act(server.region);
  server.runFor(1);
  second += 1;
}, 1000);
