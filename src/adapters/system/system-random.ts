import { randomBytes } from 'node:crypto';
import type { Random } from '#ports/random';

/** `hex` is fit for identities and secrets; `next` is for jitter. */
export class SystemRandom implements Random {
  next(): number {
    return Math.random();
  }

  hex(bytes: number): string {
    return randomBytes(bytes).toString('hex');
  }
}
