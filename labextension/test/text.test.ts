import { nullTranslator } from '@jupyterlab/translation';
import { expect, test } from 'vitest';
import type { Isolation } from '../src/api';
import { badgeText, bytes, duration, limitWords, loadCode, measuredWord } from '../src/models/text';
import { kernel } from './server';

const trans = nullTranslator.load('py_code_mode_jupyter');

function isolation(more: Partial<Isolation> = {}): Isolation {
  return {
    place: 'container',
    level: 'container',
    is_verified: true,
    summary: 'container · no network',
    facts: [],
    measured: '2026-01-01T00:00:00+00:00',
    ...more
  };
}

test('bytes and seconds have three digits and a unit', () => {
  expect([0, 999, 1000, 1536, 212 * 2 ** 20, 2 ** 30].map(bytes)).toEqual([
    '0 B',
    '999 B',
    '0.98 KiB',
    '1.5 KiB',
    '212 MiB',
    '1 GiB'
  ]);
  expect([0.0032, 2.34, 125, 3700].map(duration)).toEqual([
    '3.2 ms',
    '2.3 s',
    '2 min 5 s',
    '1 h 1 min'
  ]);
});

test('the badge claims only what was measured', () => {
  const label = (given: Parameters<typeof kernel>[0]): string[] => {
    const text = badgeText(kernel({ place: 'container', ...given }), trans);
    return [text.label, text.mood];
  };
  expect(label({})).toEqual(['Container · measuring …', 'unknown']);
  expect(label({ isolation: isolation() })).toEqual(['Container · verified', 'verified']);
  expect(label({ isolation: isolation({ is_verified: false }) })).toEqual([
    'Container · not verified',
    'unverified'
  ]);
  expect(label({ isolation: isolation({ level: 'process', place: 'venv' }) })).toEqual([
    'Isolated venv · own process',
    'process'
  ]);
  expect(label({ isolation: isolation({ level: 'none', place: 'in-process' }) })).toEqual([
    'In-process · not isolated',
    'open'
  ]);
  expect(label({ place: null })).toEqual(['Not isolated', 'open']);
  expect(badgeText(undefined, trans).mood).toBe('unknown');
});

test('a place is named by the measurement, not by what the kernel is called', () => {
  const text = badgeText(
    kernel({ place: 'container', isolation: isolation({ place: 'venv', level: 'process' }) }),
    trans
  );
  expect(text.label).toBe('Isolated venv · own process');
});

test('a kernel that died or never began says so, whatever was measured before', () => {
  const death = { reason: 'killed: 512 MB limit', kind: 'memory', at: '2026-01-01T00:00:00+00:00' };
  const dead = badgeText(kernel({ state: 'dead', death, isolation: isolation() }), trans);
  expect([dead.mood, dead.description]).toEqual(['failed', 'killed: 512 MB limit']);
  const refused = badgeText(kernel({ refusal: 'No engine.', isolation: isolation() }), trans);
  expect([refused.mood, refused.description]).toEqual(['failed', 'No engine.']);
});

test('limits that are not there are not named', () => {
  const none = {
    memory: null,
    cpu: null,
    disk: null,
    processes: null,
    network: false,
    timeout: null
  };
  expect(limitWords(none, trans)).toEqual(['no network']);
  expect(limitWords({ ...none, memory: 2 ** 29, cpu: 0.5, network: true }, trans)).toEqual([
    'memory 512 MiB',
    '0.5 CPU',
    'network'
  ]);
});

test('what was not measured is not called no', () => {
  expect([null, false, true, 0, 'x'].map(value => measuredWord(value, trans))).toEqual([
    'not measured',
    'no',
    'yes',
    '0',
    'x'
  ]);
});

test('code that loads an artifact is one call, whatever its name holds', () => {
  expect(loadCode({ name: 'table' })).toBe('artifacts.load("table")');
  expect(loadCode({ name: 'a"); import os #' }, 3)).toBe(
    'artifacts.load("a\\"); import os #", version=3)'
  );
  expect(loadCode({ name: 'a\u202e\n\u200bb' })).toBe('artifacts.load("a\\u202e\\n\\u200bb")');
});
