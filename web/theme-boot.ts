// A classic script, run before the first paint, so that a chosen theme never flashes in the other one.
try {
  const chosen = localStorage.getItem('antipode-theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset['theme'] = chosen;
} catch {
  // Storage may be barred; the system's scheme applies.
}
