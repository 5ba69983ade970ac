import { z } from 'zod';

const NAME = /^[a-z][a-z0-9_]{0,62}$/;
const REGION_NAME = /^[a-z][a-z0-9-]{0,62}$/;

/** Refused everywhere: they collide with properties every JavaScript object inherits, or with words of the product. */
const RESERVED = new Set(['constructor', 'prototype', 'antipode']);
/** Refused as columns: they name the times of a row in every response and data frame. */
const RESERVED_COLUMNS = new Set(['event_timestamp', 'created_timestamp']);

const NAME_RULE = 'use a lower-case letter, then at most 62 lower-case letters, digits and single underscores';

/** What is wrong with a name of a namespace, entity or feature view; undefined when it may be used. */
export function nameFault(name: string): string | undefined {
  if (!NAME.test(name)) return `the name ${JSON.stringify(name.slice(0, 80))} is not allowed: ${NAME_RULE}`;
  // A double underscore separates view and feature in Feast's full feature names.
  if (name.includes('__')) return `the name "${name}" has a double underscore: ${NAME_RULE}`;
  if (RESERVED.has(name)) return `the name "${name}" is reserved`;
  return undefined;
}

/** As `nameFault`, for join keys and features. */
export function columnNameFault(name: string): string | undefined {
  return (
    nameFault(name) ??
    (RESERVED_COLUMNS.has(name) ? `the name "${name}" is reserved for the times of a row` : undefined)
  );
}

export function regionNameFault(name: string): string | undefined {
  if (!REGION_NAME.test(name)) {
    return `the region name ${JSON.stringify(name.slice(0, 80))} is not allowed: use a lower-case letter, then at most 62 lower-case letters, digits and hyphens`;
  }
  if (RESERVED.has(name) || name === 'control') return `the name "${name}" is reserved`;
  return undefined;
}

function named(pattern: RegExp, fault: (name: string) => string | undefined) {
  return z
    .string()
    .superRefine((name, context) => {
      const message = fault(name);
      if (message !== undefined) context.addIssue({ code: 'custom', message, input: name });
    })
    .meta({ pattern: pattern.source });
}

export const nameSchema = named(NAME, nameFault);
export const columnNameSchema = named(NAME, columnNameFault);
export const regionNameSchema = named(REGION_NAME, regionNameFault);
