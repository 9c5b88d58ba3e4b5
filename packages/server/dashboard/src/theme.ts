// Light or dark: what the system says, until somebody chooses. The choice stays in this browser.
export type Theme = 'light' | 'dark';
const key = 'mcp-valet-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

const chosen = (): Theme | undefined => {
  const kept = localStorage.getItem(key);
  return kept === 'light' || kept === 'dark' ? kept : undefined;
};
export const currentTheme = (): Theme => chosen() ?? (system.matches ? 'dark' : 'light');

function apply(): void {
  document.documentElement.dataset['theme'] = currentTheme();
  dispatchEvent(new Event('themechange'));
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(key, theme);
  apply();
}

export function followTheme(): void {
  system.addEventListener('change', apply);
  apply();
}
