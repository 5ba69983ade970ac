/** Names and values of headers in turn, each name once: what Node's server takes as it is. */
export type HeaderList = readonly string[];

/** Headers of every answer that is not a file of the dashboard: data, never to be shown as a page or kept by a cache. */
export const API_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
};

/** Media type of answers that are data; without a charset, which JSON does not have. */
export const JSON_TYPE = 'application/json';
