export type ThemeChoice = 'system' | 'light' | 'dark';

/** Also read by theme-boot.ts, before any module runs. */
const STORAGE_KEY = 'antipode-theme';

export const THEME_CHOICES: readonly ThemeChoice[] = ['system', 'light', 'dark'];

export function readThemeChoice(): ThemeChoice {
  try {
    const stored = localStorage.getItem(STORAGE_KEY);
    return stored === 'light' || stored === 'dark' ? stored : 'system';
  } catch {
    return 'system';
  }
}

export function applyThemeChoice(choice: ThemeChoice): void {
  if (choice === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = choice;
  try {
    if (choice === 'system') localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, choice);
  } catch {
    // The choice then lasts as long as the page.
  }
}

/** Colours that a canvas needs as values; everything else takes them from the style sheet. */
export interface PlotTheme {
  readonly series: readonly string[];
  readonly grid: string;
  readonly text: string;
  readonly warning: string;
  readonly error: string;
  readonly font: string;
}

export function readPlotTheme(colours: number): PlotTheme {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string): string => style.getPropertyValue(name).trim();
  return {
    series: Array.from({ length: colours }, (_, index) => value(`--series-${index}`)),
    grid: value('--grid'),
    text: value('--ink-soft'),
    warning: value('--warning'),
    error: value('--error'),
    font: `11px ${value('--font')}`,
  };
}
