// SPDX-License-Identifier: MIT
// Numbers, times and services as people read them.

export function duration(ns) {
  const units = [[60e9, 'm'], [1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']];
  if (ns === 0) return '0';
  for (const [size, unit] of units) {
    if (Math.abs(ns) >= size) {
      const value = ns / size;
      return `${value.toFixed(value >= 100 || unit === 'ns' ? 0 : value >= 10 ? 1 : 2)} ${unit}`;
    }
  }
  return `${ns} ns`;
}

export const number = (value) => value.toLocaleString('en');

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function bytes(value) {
  if (value < 1024) return `${value} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let at = -1;
  do { value /= 1024; at++; } while (value >= 1024 && at < units.length - 1);
  return `${value.toFixed(value >= 100 || Number.isInteger(value) ? 0 : 1)} ${units[at]}`;
}

const two = (value) => String(value).padStart(2, '0');

// Local time of nanoseconds since 1970 (BigInt), to the millisecond; the day only when it is not today.
export function time(ns, withDay = false) {
  const date = new Date(Number(ns / 1000000n));
  if (Number.isNaN(date.getTime())) return `${ns} ns`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return withDay || date.toDateString() !== new Date().toDateString() ? `${day} ${clock}` : clock;
}

const HUES = [168, 212, 32, 268, 338, 88, 190, 240, 12, 300, 52, 130];
const hues = new Map();

// A hue of its own for each service, in the order of first sight, so that neighbours differ.
export function hue(service) {
  if (!hues.has(service)) hues.set(service, HUES[hues.size % HUES.length]);
  return hues.get(service);
}

export const serviceName = (name) => name || '(no service.name)';
