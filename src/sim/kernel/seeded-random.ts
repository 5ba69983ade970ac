import { fnv1a } from '#core/hash';
import type { Random } from '#ports/random';

/** Spreads a number over 32 bits; one step of splitmix32. */
function splitmix(state: number): number {
  let value = (state + 0x9e3779b9) | 0;
  value = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  value = Math.imul(value ^ (value >>> 15), 0x735a2d97);
  return (value ^ (value >>> 15)) >>> 0;
}

/**
 * All chance of a simulation (sfc32). Every part draws from a fork of its own, named after it, so that one part drawing
 * more does not change what another one gets.
 */
export class SeededRandom implements Random {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#seed = seed;
    this.#a = splitmix(seed);
    this.#b = splitmix(this.#a);
    this.#c = splitmix(this.#b);
    for (let i = 0; i < 12; i++) this.#draw();
  }

  fork(name: string): SeededRandom {
    return new SeededRandom(splitmix(this.#seed ^ fnv1a(Buffer.from(name, 'utf8'))));
  }

  next(): number {
    return this.#draw() / 0x1_0000_0000;
  }

  hex(bytes: number): string {
    let text = '';
    while (text.length < bytes * 2) text += this.#draw().toString(16).padStart(8, '0');
    return text.slice(0, bytes * 2);
  }

  /** Whole number in [0, below). */
  integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** Spread evenly over orders of magnitude: what a knob of unknown scale is drawn by. */
  logBetween(low: number, high: number): number {
    return Math.exp(this.between(Math.log(low), Math.log(high)));
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(among: readonly T[]): T {
    return among[this.integer(among.length)] as T;
  }

  #draw(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }
}
