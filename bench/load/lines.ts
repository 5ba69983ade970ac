// The lines between regions, in a process of their own: they count bytes, delay them, and can be cut.
import { WanProxy, type WanShape } from '../../examples/support/wan-proxy.ts';
import { serveCalls } from '../lib/child.ts';

const proxies: WanProxy[] = [];

function proxy(line: number): WanProxy {
  const found = proxies[line];
  if (found === undefined) throw new Error(`there is no line ${line}`);
  return found;
}

serveCalls({
  open: async (targetPort: number) => {
    const made = new WanProxy({ target: { host: '127.0.0.1', port: targetPort } });
    const port = await made.start();
    return { line: proxies.push(made) - 1, port };
  },
  shape: (shape: Partial<WanShape>) => {
    for (const each of proxies) each.shape(shape);
  },
  cut: () => {
    for (const each of proxies) each.cut('refuse');
  },
  heal: () => {
    for (const each of proxies) each.heal();
  },
  delivered: (line: number) => proxy(line).delivered['to-target'] + proxy(line).delivered['to-client'],
});
