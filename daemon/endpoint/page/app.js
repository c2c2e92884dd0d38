// SPDX-License-Identifier: MIT
// Which view is shown: the URL says. Navigation, theme and the figures at the top.
import * as api from './api.js';
import { el } from './dom.js';
import { bytes, number, plural } from './format.js';
import { searchView } from './search.js';
import { traceView } from './trace.js';

const main = document.getElementById('view');
let current = null;
const kept = new Map(); // the list, when one comes back to it

export function navigate(url, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState']({ fromList: current?.key === 'search' }, '', url);
  show();
}

function show() {
  const match = /^\/trace\/([^/]+)$/.exec(location.pathname);
  const key = match ? `trace ${match[1]}` : 'search';
  if (current?.key === key && current.update()) return;
  current?.close();
  document.title = 'aistrace';
  current = match ? traceView(decodeURIComponent(match[1]), navigate) : searchView(navigate, kept);
  current.key = key;
  main.replaceChildren(current.element);
  current.shown();
  refreshStats();
}

async function refreshStats() {
  const place = document.getElementById('stats');
  try {
    const figures = await api.stats();
    const share = Math.min(1, figures.bytes / figures.max_bytes);
    const evicted = figures.evicted_traces > 0
      ? `${plural(figures.evicted_traces, 'trace')} evicted, oldest first` : 'nothing evicted';
    place.replaceChildren(
      el('span', {}, `${plural(figures.traces, 'trace')}, ${plural(figures.spans, 'span')}`),
      el('span', { class: 'meter', title: 'Memory for traces is bounded. When it is full, the oldest trace goes first.' },
        el('span', { class: 'meter-fill', style: { width: `${share * 100}%` } })),
      el('span', {}, `${bytes(figures.bytes)} of ${bytes(figures.max_bytes)}`),
      el('span', { class: figures.evicted_traces ? 'warn' : 'muted', title: `${number(figures.evicted_spans)} spans evicted` }, evicted));
  } catch (error) {
    place.replaceChildren(el('span', { class: 'warn' }, 'endpoint unreachable'));
  }
}

// ---- theme: as the system says, until one chooses

const THEMES = ['system', 'dark', 'light'];
const themeButton = document.getElementById('theme');

function storedTheme() {
  try { return localStorage.getItem('theme') || 'system'; } catch { return 'system'; }
}

function applyTheme(theme) {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  themeButton.textContent = { system: 'Auto', dark: 'Dark', light: 'Light' }[theme] || 'Auto';
  themeButton.setAttribute('aria-label', `Colours: ${theme}`);
  document.querySelectorAll('canvas').forEach((canvas) => canvas.redraw?.());
}

themeButton.addEventListener('click', () => {
  const next = THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length];
  try { localStorage.setItem('theme', next); } catch { /* then only until reload */ }
  applyTheme(next);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => applyTheme(storedTheme()));
applyTheme(storedTheme());

// ---- everywhere

document.getElementById('jump').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = document.getElementById('jump-id');
  const id = input.value.trim();
  if (id) navigate(`/trace/${encodeURIComponent(id)}`);
  input.value = '';
});
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[data-nav]');
  if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  navigate(link.getAttribute('href'));
});
document.addEventListener('keydown', (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (typing && event.key === 'Escape') event.target.blur();
  else if (!typing) current?.key_(event);
});
addEventListener('popstate', show);
setInterval(() => { if (!document.hidden) refreshStats(); }, 5000);
show();
