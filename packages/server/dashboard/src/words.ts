// Times and numbers as people read them.
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const exact = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' });
const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
];

export const exactTime = (at: string): string => exact.format(new Date(at));

export function relativeTime(at: string): string {
  const ms = Date.parse(at) - Date.now();
  const [unit, size] = units.find(([, length]) => Math.abs(ms) >= length) ?? ['second', 1_000];
  return relative.format(Math.round(ms / size), unit);
}

export const count = (value: number): string => value.toLocaleString('en');
export const milliseconds = (value: number | null | undefined): string =>
  value == null ? '–' : value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${Math.round(value)} ms`;

export function duration(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min`;
}

/** Words of a text field that holds several, by line or comma. */
export const words = (text: FormDataEntryValue | string | null): string[] =>
  typeof text === 'string'
    ? text
        .split(/[\n,]/)
        .map((word) => word.trim())
        .filter(Boolean)
    : [];

/** A text field; undefined where nothing was typed. */
export function typed(data: FormData, name: string): string | undefined {
  const value = data.get(name);
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined;
}
