/** Name of each source of real time and chance, and how to put a trap in its place. */
const TRAPPED: readonly (readonly [object, string])[] = [
  [Date, 'now'],
  [Math, 'random'],
  [performance, 'now'],
  [globalThis, 'setTimeout'],
  [globalThis, 'setInterval'],
  [globalThis, 'setImmediate'],
  [globalThis.crypto, 'getRandomValues'],
  [globalThis.crypto, 'randomUUID'],
];

/**
 * Makes every use of real time or chance throw until the returned function is called: proof that what runs in the
 * simulation gets both through its ports alone.
 */
export function trapRealTime(onUse: (name: string) => void): () => void {
  const saved = TRAPPED.map(([holder, name]) => [holder, name, Object.getOwnPropertyDescriptor(holder, name)] as const);
  const trap = (name: string) => (): never => {
    onUse(name);
    throw new Error(`${name} was used in a simulation`);
  };
  for (const [holder, name] of saved)
    Object.defineProperty(holder, name, { value: trap(name), configurable: true, writable: true });
  const realDate = globalThis.Date;
  globalThis.Date = new Proxy(realDate, {
    construct(target, args, newTarget) {
      return args.length === 0 ? trap('new Date')() : Reflect.construct(target, args, newTarget);
    },
    apply: trap('Date'),
  });
  return () => {
    globalThis.Date = realDate;
    for (const [holder, name, descriptor] of saved) {
      if (descriptor === undefined) Reflect.deleteProperty(holder, name);
      else Object.defineProperty(holder, name, descriptor);
    }
  };
}
