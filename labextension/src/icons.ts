/**
 * Icons: those of the kernels, and the shields of the badge.
 */
import { LabIcon } from '@jupyterlab/ui-components';
import containerSvg from '../../kernelspecs/pcm-container/logo-svg.svg';
import inProcessSvg from '../../kernelspecs/pcm-in-process/logo-svg.svg';
import venvSvg from '../../kernelspecs/pcm-venv/logo-svg.svg';
import type { PlaceName } from './api';
import type { BadgeText } from './models/text';

function shield(name: string, inner: string): LabIcon {
  return new LabIcon({
    name: `py-code-mode-jupyter:${name}`,
    svgstr:
      '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">' +
      '<g class="jp-icon3" stroke="#616161" stroke-width="1.4" stroke-linejoin="round">' +
      `<path class="pcm-shield" fill="none" d="M8 1.5 13.5 3.5V7.5C13.5 11 11 13.5 8 14.5 5 13.5 2.5 11 2.5 7.5V3.5Z"/>${inner}` +
      '</g></svg>'
  });
}

const TICK = '<path fill="none" d="m5.2 8 2 2 3.6-4"/>';
const CROSS = '<path fill="none" d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4"/>';
const ARROW = '<path fill="none" d="M4.8 8h6m-2.200-2.200 2.200 2.200-2.200 2.200"/>';
const QUESTION = '<path fill="none" d="M6.2 6.2a1.8 1.8 0 1 1 2.4 1.7c-.4.2-.6.4-.6 1m0 1.6v.4"/>';

export const panelIcon = new LabIcon({
  name: 'py-code-mode-jupyter:panel',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">' +
    '<g class="jp-icon3 jp-icon-selectable" fill="#616161">' +
    '<path d="M8 .8 14.5 3.1V7.6c0 3.9-2.9 6.6-6.5 7.7C4.4 14.2 1.5 11.5 1.5 7.6V3.1Zm0 1.6L3 4.2v3.4c0 3 2.2 5.1 5 6.1 2.8-1 5-3.1 5-6.1V4.2Z"/>' +
    '<path d="m5 6 1-1 3 3-3 3-1-1 2-2Zm4 4h2.500v1.300H9Z"/>' +
    '</g></svg>'
});

export const runInIcon = shield('run-in', ARROW);

export const moodIcons: Readonly<Record<BadgeText['mood'], LabIcon>> = {
  verified: shield('verified', TICK),
  process: shield('process', TICK),
  open: shield('open', ''),
  unverified: shield('unverified', QUESTION),
  failed: shield('failed', CROSS),
  unknown: shield('unknown', QUESTION)
};

export const placeIcons: Readonly<Record<PlaceName, LabIcon>> = {
  'in-process': new LabIcon({ name: 'py-code-mode-jupyter:in-process', svgstr: inProcessSvg }),
  venv: new LabIcon({ name: 'py-code-mode-jupyter:venv', svgstr: venvSvg }),
  container: new LabIcon({ name: 'py-code-mode-jupyter:container', svgstr: containerSvg })
};
