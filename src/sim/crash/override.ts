/** The same object with some methods replaced; everything else goes through to it. */
export function override<T extends object>(inner: T, methods: Partial<T>): T {
  const outer: Record<string, unknown> = {};
  for (let holder: object = inner; holder !== Object.prototype; holder = Object.getPrototypeOf(holder)) {
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
      if (name === 'constructor' || Object.hasOwn(outer, name)) continue;
      const method: unknown = descriptor.value;
      if (typeof method === 'function') outer[name] = method.bind(inner);
      else Object.defineProperty(outer, name, { enumerable: true, get: () => Reflect.get(inner, name) });
    }
  }
  return Object.assign(outer, methods) as T;
}
