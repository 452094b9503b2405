/**
 * Numbers and states as people read them.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Artifact, Isolation, KernelInfo, Limits, Measured, PlaceName } from '../api';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Bytes with a unit, to three digits: `212 MiB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${UNITS[unit] ?? ''}`;
}

/** Seconds in two units at most: `3.2 ms`, `2 min 5 s`. */
export function duration(seconds: number): string {
  if (seconds < 1) {
    return `${Number((seconds * 1000).toPrecision(2))} ms`;
  }
  if (seconds < 60) {
    return `${Number(seconds.toPrecision(2))} s`;
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function placeLabel(place: PlaceName | null, trans: TranslationBundle): string {
  switch (place) {
    case 'in-process':
      return trans.__('In-process');
    case 'venv':
      return trans.__('Isolated venv');
    case 'container':
      return trans.__('Container');
    default:
      return trans.__('Other kernel');
  }
}

/** The limits in force, in words. */
export function limitWords(limits: Limits, trans: TranslationBundle): string[] {
  const words: string[] = [];
  if (limits.memory !== null) {
    words.push(trans.__('memory %1', bytes(limits.memory)));
  }
  if (limits.cpu !== null) {
    words.push(trans.__('%1 CPU', limits.cpu));
  }
  if (limits.disk !== null) {
    words.push(trans.__('disk %1', bytes(limits.disk)));
  }
  if (limits.processes !== null) {
    words.push(trans.__('%1 processes', limits.processes));
  }
  if (limits.timeout !== null) {
    words.push(trans.__('%1 each cell', duration(limits.timeout)));
  }
  words.push(limits.network ? trans.__('network') : trans.__('no network'));
  return words;
}

export function measuredWord(value: Measured, trans: TranslationBundle): string {
  if (value === null) {
    return trans.__('not measured');
  }
  if (typeof value === 'boolean') {
    return value ? trans.__('yes') : trans.__('no');
  }
  return String(value);
}

/** What the badge says. */
export interface BadgeText {
  readonly label: string;
  readonly description: string;
  readonly mood: 'verified' | 'process' | 'open' | 'unverified' | 'failed' | 'unknown';
}

function failed(kernel: KernelInfo, trans: TranslationBundle): BadgeText | null {
  const place = placeLabel(kernel.place, trans);
  if (kernel.refusal) {
    return {
      label: trans.__('%1: not started', place),
      description: kernel.refusal,
      mood: 'failed'
    };
  }
  if (kernel.death && ['dead', 'autorestarting', 'restarting'].includes(kernel.state)) {
    return { label: trans.__('%1: died', place), description: kernel.death.reason, mood: 'failed' };
  }
  return null;
}

function measured(isolation: Isolation, trans: TranslationBundle): BadgeText {
  const label = placeLabel(isolation.place, trans);
  if (!isolation.is_verified) {
    return {
      label: trans.__('%1 · not verified', label),
      description: isolation.summary,
      mood: 'unverified'
    };
  }
  const description = `${isolation.summary}. ${levelWords(isolation, trans)}`;
  switch (isolation.level) {
    case 'container':
      return { label: trans.__('%1 · verified', label), description, mood: 'verified' };
    case 'process':
      return { label: trans.__('%1 · own process', label), description, mood: 'process' };
    case 'none':
      return { label: trans.__('%1 · not isolated', label), description, mood: 'open' };
  }
}

/** What a level of isolation means for who uses it. */
export function levelWords(isolation: Pick<Isolation, 'level'>, trans: TranslationBundle): string {
  switch (isolation.level) {
    case 'container':
      return trans.__('A container whose boundary was measured.');
    case 'process':
      return trans.__('A process of its own with your rights: it can read what you can.');
    case 'none':
      return trans.__("No isolation: it shares the server's process.");
  }
}

/** Say where a kernel runs and what was measured of its isolation. What was not measured is never claimed. */
export function badgeText(kernel: KernelInfo | undefined, trans: TranslationBundle): BadgeText {
  if (kernel === undefined) {
    return {
      label: trans.__('Measuring …'),
      description: trans.__('Nothing is known of this kernel yet.'),
      mood: 'unknown'
    };
  }
  if (kernel.place === null) {
    return {
      label: trans.__('Not isolated'),
      description: trans.__(
        'This kernel is not one of Code Mode: it runs with your rights, and nothing of it was measured.'
      ),
      mood: 'open'
    };
  }
  const failure = failed(kernel, trans);
  if (failure !== null) {
    return failure;
  }
  if (kernel.isolation === null) {
    return {
      label: trans.__('%1 · measuring …', placeLabel(kernel.place, trans)),
      description: trans.__('The isolation of this kernel has not been measured yet.'),
      mood: 'unknown'
    };
  }
  return measured(kernel.isolation, trans);
}

// Characters that change how the code around them looks, or that nobody sees.
const UNSEEN = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** Python that loads an artifact, whatever its name holds. */
export function loadCode(artifact: Pick<Artifact, 'name'>, version?: number): string {
  const name = JSON.stringify(artifact.name).replace(
    UNSEEN,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  );
  const more = version === undefined ? '' : `, version=${version}`;
  return `artifacts.load(${name}${more})`;
}
