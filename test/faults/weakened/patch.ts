/** Puts another method into a class, made from the real one. */
export function patch<T extends object, K extends keyof T>(prototype: T, name: K, make: (real: T[K]) => T[K]): void {
  prototype[name] = make(prototype[name]);
}
