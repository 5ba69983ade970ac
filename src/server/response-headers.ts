/** Headers of every answer that is not a file of the dashboard: data, never to be shown as a page or kept by a cache. */
export const API_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
};
