/** What a token may do; each role includes the ones before it. */
export const ROLES = ['read', 'write', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** What a route demands. `public` routes carry no feature values and no state of the region beyond being alive. */
export type Access = Role | 'public';

export function isAccess(value: unknown): value is Access {
  return value === 'public' || ROLES.includes(value as Role);
}

export function roleAllows(held: Role, needed: Role): boolean {
  return ROLES.indexOf(held) >= ROLES.indexOf(needed);
}

/** Who a request comes from. */
export interface Principal {
  readonly name: string;
  readonly role: Role;
  /** `session`: the cookie that a login set; `open`: nobody in particular, where reads are open. */
  readonly via: 'token' | 'session' | 'open';
}
