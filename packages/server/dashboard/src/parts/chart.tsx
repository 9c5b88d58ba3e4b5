// A line chart over time by uPlot, in the colours of the theme, with the same numbers as a table for those who do not see it.
import { useEffect, useRef } from 'preact/hooks';
import UPlot from 'uplot';
import { Table } from './table.tsx';

export interface Series {
  name: string;
  /** A custom property of the theme. */
  color: '--accent' | '--bad' | '--warn' | '--muted';
  values: readonly (number | null)[];
}

interface ChartProps {
  title: string;
  /** Seconds since 1970, rising. */
  times: readonly number[];
  series: readonly Series[];
  unit?: string;
  /** What the time axis tells apart. Default: minutes. */
  step?: 'minute' | 'day';
}

const height = 210;
/** Whole numbers only: there is no quarter of a call. */
const steps = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

export function Chart({ title, times, series, unit = '', step = 'minute' }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    let plot: UPlot | undefined;
    const draw = () => {
      plot?.destroy();
      plot = new UPlot(
        optionsOf(element.clientWidth, series, unit, step),
        [[...times], ...series.map((one) => [...one.values])],
        element,
      );
    };
    draw();
    const observer = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    addEventListener('themechange', draw);
    return () => {
      observer.disconnect();
      removeEventListener('themechange', draw);
      plot?.destroy();
    };
  }, [times, series, unit, step]);
  const written = (at: number): string =>
    new Date(at * 1000).toLocaleString('en', { dateStyle: 'short', timeStyle: 'short' });
  return (
    <figure class="card">
      <figcaption>
        <h2>{title}</h2>
      </figcaption>
      <div class="chart" ref={place} aria-hidden="true" />
      <details class="small">
        <summary>As a table</summary>
        <Table caption={title} heads={['Time', ...series.map(({ name }) => name)]}>
          {times.map((at, index) =>
            series.some(({ values }) => (values[index] ?? 0) !== 0) ? (
              <tr key={at}>
                <th scope="row">{written(at)}</th>
                {series.map(({ name, values }) => (
                  <td key={name}>
                    {values[index] ?? '–'} {values[index] == null ? '' : unit}
                  </td>
                ))}
              </tr>
            ) : null,
          )}
        </Table>
      </details>
    </figure>
  );
}

const formats = {
  minute: new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
  day: new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' }),
};

function optionsOf(width: number, series: readonly Series[], unit: string, step: 'minute' | 'day'): UPlot.Options {
  const written = (at: number): string => formats[step].format(at * 1000);
  const theme = getComputedStyle(document.documentElement);
  const color = (name: string): string => theme.getPropertyValue(name).trim();
  const font = '12px system-ui, sans-serif';
  const axis = {
    stroke: color('--muted'),
    font,
    grid: { stroke: color('--line'), width: 1 },
    ticks: { stroke: color('--line') },
  };
  return {
    width,
    height,
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1)] } },
    axes: [
      { ...axis, space: 60, values: (_plot, ticks) => ticks.map(written) },
      {
        ...axis,
        size: 66,
        incrs: steps,
        values: (_plot, ticks) => ticks.map((tick) => `${tick}${unit && ` ${unit}`}`),
      },
    ],
    series: [
      { value: (_plot, at) => (at === null ? '–' : written(at)) },
      ...series.map((one) => ({
        label: one.name,
        stroke: color(one.color),
        width: 2,
        // A lone value has no line: as a point it is seen.
        points: { show: one.values.some((value) => value === null), size: 6 },
        value: (_plot: UPlot, value: number | null) => (value === null ? '–' : `${value} ${unit}`),
      })),
    ],
  };
}
